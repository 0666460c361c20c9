using System.Globalization;
using Microsoft.Data.Sqlite;
using Orleans.Storage;

namespace Distributed.Coordinator.State;

/// <summary>
/// Grain storage in a SQLite file: a row per grain, taken over only where the version is the one that the grain has seen. Orleans' own
/// ADO.NET storage (10.4.2) can make connections of Microsoft.Data.Sqlite, but not work on them: its table of how databases behave lacks it.
/// <para>
/// A write is in the file's log when it is done, and there for whoever opens the file after a crash of the process; only a crash of the
/// machine takes the last ones. None waits for the disk.
/// </para>
/// </summary>
internal sealed class SqliteGrainStorage : IGrainStorage, IDisposable
{
    private readonly Lock _lock = new();
    private readonly SqliteConnection _connection;
    private readonly SqliteCommand _read;
    private readonly SqliteCommand _write;
    private readonly SqliteCommand _clear;

    /// <param name="path">The file; made where it is not there.</param>
    /// <exception cref="SqliteException">It is none of SQLite's, or cannot be written.</exception>
    public SqliteGrainStorage(string path)
    {
        _connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false }.ToString());
        try
        {
            _connection.Open();
            Command("""
                PRAGMA journal_mode = WAL;
                PRAGMA synchronous = NORMAL;
                CREATE TABLE IF NOT EXISTS grain_state (
                    name TEXT NOT NULL, grain TEXT NOT NULL, version INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (name, grain)
                ) WITHOUT ROWID;
                """).ExecuteNonQuery();
            _read = Command("SELECT version, payload FROM grain_state WHERE name = $name AND grain = $grain");
            _write = Command("""
                INSERT INTO grain_state AS held (name, grain, version, payload)
                SELECT $name, $grain, $version + 1, $payload
                WHERE $version = 0 OR EXISTS (SELECT 1 FROM grain_state WHERE name = $name AND grain = $grain)
                ON CONFLICT (name, grain) DO UPDATE SET version = excluded.version, payload = excluded.payload WHERE held.version = $version
                """);
            _clear = Command("DELETE FROM grain_state WHERE name = $name AND grain = $grain AND version = $version");
        }
        catch
        {
            _connection.Dispose();
            throw;
        }
    }

    /// <summary>Turns state into bytes; set before any grain is there.</summary>
    public IGrainStorageSerializer? Serializer { get; set; }

    /// <inheritdoc/>
    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        lock (_lock)
        {
            Bind(_read, stateName, grainId);
            using var row = _read.ExecuteReader();
            grainState.RecordExists = row.Read();
            if (grainState.RecordExists)
                (grainState.ETag, grainState.State) = (Text(row.GetInt64(0)), Serializer!.Deserialize<T>(new BinaryData(row.GetFieldValue<byte[]>(1))));
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InconsistentStateException">Somebody else has written it meanwhile.</exception>
    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var payload = Serializer!.Serialize(grainState.State).ToArray();
        lock (_lock)
        {
            var version = VersionOf(grainState);
            Bind(_write, stateName, grainId, version);
            _write.Parameters.AddWithValue("$payload", payload);
            if (_write.ExecuteNonQuery() != 1)
                throw Inconsistent(stateName, grainId, version);
            (grainState.ETag, grainState.RecordExists) = (Text(version + 1), true);
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InconsistentStateException">Somebody else has written it meanwhile.</exception>
    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        lock (_lock)
        {
            var version = VersionOf(grainState);
            Bind(_clear, stateName, grainId, version);
            if (_clear.ExecuteNonQuery() != 1 && version > 0)
                throw Inconsistent(stateName, grainId, version);
            (grainState.ETag, grainState.RecordExists) = (null!, false);
            return Task.CompletedTask;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
            _connection.Dispose();
    }

    private static void Bind(SqliteCommand command, string name, GrainId grain, long? version = null)
    {
        command.Parameters.Clear();
        command.Parameters.AddWithValue("$name", name);
        command.Parameters.AddWithValue("$grain", grain.ToString());
        if (version is { } number)
            command.Parameters.AddWithValue("$version", number);
    }

    private static InconsistentStateException Inconsistent(string name, GrainId grain, long version) =>
        new($"{name} of {grain} is not at version {version} any more");

    private static long VersionOf<T>(IGrainState<T> state) =>
        string.IsNullOrEmpty(state.ETag) ? 0 : long.Parse(state.ETag, CultureInfo.InvariantCulture);

    private static string Text(long version) => version.ToString(CultureInfo.InvariantCulture);

    private SqliteCommand Command(string text)
    {
        var command = _connection.CreateCommand();
        command.CommandText = text;
        return command;
    }
}
