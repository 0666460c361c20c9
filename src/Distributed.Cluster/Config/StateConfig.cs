namespace Distributed.Cluster.Config;

/// <summary>What stands behind a coordinator's state.</summary>
public enum StateProvider
{
    /// <summary>An embedded SQLite file.</summary>
    Sqlite,

    /// <summary>Nothing: the state ends with the process.</summary>
    Memory,

    /// <summary>A PostgreSQL server.</summary>
    PostgreSql,
}

/// <summary>Where a coordinator keeps what outlives it: sessions, the placement, and which workers are drained.</summary>
public sealed record StateConfig
{
    /// <summary>The kind of storage.</summary>
    public StateProvider Provider { get; init; } = StateProvider.Sqlite;

    /// <summary>
    /// How it is reached: of SQLite a file (a relative path in a cluster file counts from that file's folder), of PostgreSQL a connection
    /// string of Npgsql. Null for a file of the cluster's own in the coordinator's folder, which only SQLite has.
    /// </summary>
    public string? Connection { get; init; }

    /// <summary>
    /// The cluster's name in PostgreSQL: coordinators of the same one stand by for each other, and a database may hold several.
    /// </summary>
    public string Cluster { get; init; } = "distributed";

    /// <summary>
    /// Where the other coordinators reach this one's Orleans silo; port 0 takes any free one. Null for loopback, where all of them are on
    /// one machine.
    /// </summary>
    public NodeAddress? Silo { get; init; }
}
