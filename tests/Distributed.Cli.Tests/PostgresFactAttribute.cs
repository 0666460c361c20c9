namespace Distributed.Cli.Tests;

/// <summary>A test with a PostgreSQL server of its own; skipped, by name, where none is installed.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PostgresFactAttribute : FactAttribute
{
    public PostgresFactAttribute() => Skip = PostgresServer.Programs is null ? "needs PostgreSQL's server programs (initdb, postgres)" : null;
}
