namespace Distributed.Coordinator.State;

/// <summary>
/// The tables of PostgreSQL that Orleans' ADO.NET storage works on, and its queries: it reads them from a table too. The columns and
/// parameters are Orleans' own; a write is taken only over the version that it was made from.
/// </summary>
internal static class StateTables
{
    private const string Key =
        "ServiceId = @ServiceId AND GrainTypeString = @GrainTypeString AND GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash "
        + "AND GrainIdN0 = @GrainIdN0 AND GrainIdN1 = @GrainIdN1 AND GrainIdExtensionString = COALESCE(@GrainIdExtensionString, '')";

    /// <summary>The queries by the names that Orleans knows them by.</summary>
    public static readonly IReadOnlyList<(string Name, string Text)> Queries =
    [
        ("ReadFromStorageKey", $"SELECT PayloadBinary, Version FROM OrleansStorage WHERE {Key}"),
        ("WriteToStorageKey", $"""
            INSERT INTO OrleansStorage AS held (
                GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, Version)
            SELECT
                @GrainIdHash, @GrainIdN0, @GrainIdN1, @GrainTypeHash, @GrainTypeString, COALESCE(@GrainIdExtensionString, ''), @ServiceId,
                @PayloadBinary, COALESCE(@GrainStateVersion, 0) + 1
            WHERE @GrainStateVersion IS NULL OR EXISTS (SELECT 1 FROM OrleansStorage WHERE {Key})
            ON CONFLICT (ServiceId, GrainTypeString, GrainIdHash, GrainTypeHash, GrainIdN0, GrainIdN1, GrainIdExtensionString)
            DO UPDATE SET PayloadBinary = excluded.PayloadBinary, Version = held.Version + 1
            WHERE held.Version = @GrainStateVersion
            RETURNING Version AS NewGrainStateVersion
            """),
        ("ClearStorageKey", $"""
            UPDATE OrleansStorage SET PayloadBinary = NULL, Version = Version + 1 WHERE {Key} AND Version = @GrainStateVersion
            RETURNING Version AS NewGrainStateVersion
            """),
        ("DeleteStorageKey", $"""
            DELETE FROM OrleansStorage WHERE {Key} AND Version = @GrainStateVersion RETURNING Version + 1 AS NewGrainStateVersion
            """),
    ];

    /// <summary>Makes the tables where they are not there.</summary>
    public const string Create = """
        CREATE TABLE IF NOT EXISTS OrleansQuery (QueryKey VARCHAR(64) NOT NULL PRIMARY KEY, QueryText VARCHAR(8000) NOT NULL);
        CREATE TABLE IF NOT EXISTS OrleansStorage (
            GrainIdHash INTEGER NOT NULL,
            GrainIdN0 BIGINT NOT NULL,
            GrainIdN1 BIGINT NOT NULL,
            GrainTypeHash INTEGER NOT NULL,
            GrainTypeString VARCHAR(512) NOT NULL,
            GrainIdExtensionString VARCHAR(512) NOT NULL,
            ServiceId VARCHAR(150) NOT NULL,
            PayloadBinary BYTEA NULL,
            Version INTEGER NOT NULL,
            PRIMARY KEY (ServiceId, GrainTypeString, GrainIdHash, GrainTypeHash, GrainIdN0, GrainIdN1, GrainIdExtensionString));
        """;

    /// <summary>Puts one query in its place; a program of another version may have had another.</summary>
    public const string SetQuery = """
        INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES (@QueryKey, @QueryText)
        ON CONFLICT (QueryKey) DO UPDATE SET QueryText = excluded.QueryText
        """;
}
