namespace Distributed.Coordinator.State;

/// <summary>
/// The tables of PostgreSQL in which the silos of several coordinators find each other, and Orleans' queries on them; columns and
/// parameters are Orleans' own. A row is written only together with the next version of the whole table.
/// </summary>
internal static class MembershipTables
{
    private const string Silo = "DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation";

    private const string Rows = """
        SELECT v.DeploymentId, m.Address, m.Port, m.Generation, m.SiloName, m.HostName, m.Status, m.ProxyPort, m.SuspectTimes, m.StartTime,
            m.IAmAliveTime, v.Version
        FROM OrleansMembershipVersionTable v LEFT JOIN OrleansMembershipTable m ON m.DeploymentId = v.DeploymentId
        """;

    private const string NextVersion = """
        next AS (
            UPDATE OrleansMembershipVersionTable SET Version = Version + 1, Timestamp = now()
            WHERE DeploymentId = @DeploymentId AND Version = @Version RETURNING 1)
        """;

    /// <summary>The queries by the names that Orleans knows them by.</summary>
    public static readonly IReadOnlyList<(string Name, string Text)> Queries =
    [
        ("GatewaysQueryKey", """
            SELECT Address, ProxyPort, Generation FROM OrleansMembershipTable
            WHERE DeploymentId = @DeploymentId AND Status = @Status AND ProxyPort > 0
            """),
        ("MembershipReadRowKey", $"""
            {Rows} AND m.Address = @Address AND m.Port = @Port AND m.Generation = @Generation WHERE v.DeploymentId = @DeploymentId
            """),
        ("MembershipReadAllKey", $"{Rows} WHERE v.DeploymentId = @DeploymentId"),
        ("InsertMembershipVersionKey", """
            WITH made AS (INSERT INTO OrleansMembershipVersionTable (DeploymentId) VALUES (@DeploymentId) ON CONFLICT DO NOTHING RETURNING 1)
            SELECT count(*)::int FROM made
            """),
        ("InsertMembershipKey", $"""
            WITH {NextVersion}, made AS (
                INSERT INTO OrleansMembershipTable (
                    DeploymentId, Address, Port, Generation, SiloName, HostName, Status, ProxyPort, StartTime, IAmAliveTime)
                SELECT @DeploymentId, @Address, @Port, @Generation, @SiloName, @HostName, @Status, @ProxyPort, @StartTime, @IAmAliveTime
                FROM next ON CONFLICT DO NOTHING RETURNING 1)
            SELECT count(*)::int FROM made
            """),
        ("UpdateMembershipKey", $"""
            WITH {NextVersion}, made AS (
                UPDATE OrleansMembershipTable SET Status = @Status, SuspectTimes = @SuspectTimes, IAmAliveTime = @IAmAliveTime
                FROM next WHERE {Silo} RETURNING 1)
            SELECT count(*)::int FROM made
            """),
        ("UpdateIAmAlivetimeKey", $"UPDATE OrleansMembershipTable SET IAmAliveTime = @IAmAliveTime WHERE {Silo}"),
        ("DeleteMembershipTableEntriesKey", """
            WITH silos AS (DELETE FROM OrleansMembershipTable WHERE DeploymentId = @DeploymentId)
            DELETE FROM OrleansMembershipVersionTable WHERE DeploymentId = @DeploymentId
            """),
        ("CleanupDefunctSiloEntriesKey",
            "DELETE FROM OrleansMembershipTable WHERE DeploymentId = @DeploymentId AND Status = 6 AND IAmAliveTime < @IAmAliveTime"),
    ];

    /// <summary>Makes the tables where they are not there: Orleans' two, and the one that says who leads.</summary>
    public const string Create = """
        CREATE TABLE IF NOT EXISTS OrleansMembershipVersionTable (
            DeploymentId VARCHAR(150) NOT NULL PRIMARY KEY, Timestamp TIMESTAMPTZ NOT NULL DEFAULT now(), Version INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE IF NOT EXISTS OrleansMembershipTable (
            DeploymentId VARCHAR(150) NOT NULL REFERENCES OrleansMembershipVersionTable,
            Address VARCHAR(45) NOT NULL,
            Port INTEGER NOT NULL,
            Generation INTEGER NOT NULL,
            SiloName VARCHAR(150) NOT NULL,
            HostName VARCHAR(150) NOT NULL,
            Status INTEGER NOT NULL,
            ProxyPort INTEGER NULL,
            SuspectTimes VARCHAR(8000) NULL,
            StartTime TIMESTAMPTZ NOT NULL,
            IAmAliveTime TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (DeploymentId, Address, Port, Generation));
        CREATE TABLE IF NOT EXISTS coordinator_leader (
            cluster TEXT NOT NULL PRIMARY KEY, term BIGINT NOT NULL, url TEXT NOT NULL, silo TEXT NOT NULL, beat TIMESTAMPTZ NOT NULL);
        """;
}
