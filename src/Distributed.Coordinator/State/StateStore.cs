using Distributed.Cluster.Config;
using Distributed.Core;
using Distributed.Grains;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Orleans.Serialization;
using Orleans.Storage;

namespace Distributed.Coordinator.State;

/// <summary>What a coordinator's grains are stored in. A file belongs to one coordinator at a time.</summary>
public sealed class StateStore : IDisposable
{
    private readonly IDisposable?[] _owned;

    private StateStore(Action<ISiloBuilder> configure, string description, params IDisposable?[] owned) =>
        (Configure, Description, _owned) = (configure, description, owned);

    /// <summary>Sets it up as the storage of all grains.</summary>
    internal Action<ISiloBuilder> Configure { get; }

    /// <summary>The PostgreSQL database through which several coordinators find each other; null where there is one alone.</summary>
    internal string? Database { get; private init; }

    /// <summary>Where it is, for people, without secrets.</summary>
    public string Description { get; }

    /// <summary>Opens it, and makes its tables where there are none.</summary>
    /// <param name="config">
    /// The cluster; without a connection SQLite's file is <c>coordinator.db</c> in its folder for data, and without that the state ends
    /// with the process.
    /// </param>
    /// <exception cref="InvalidInputException">The connection string is none.</exception>
    /// <exception cref="IOException">It cannot be opened, or another coordinator has it.</exception>
    public static StateStore Open(ClusterConfig config) => config.State.Provider switch
    {
        StateProvider.Memory => InMemory,
        StateProvider.PostgreSql => OpenServer(config),
        _ => config.State.Connection is null && config.Data is null ? InMemory : OpenFile(config),
    };

    /// <summary>State that ends with the process.</summary>
    internal static StateStore InMemory => new(silo => silo.AddMemoryGrainStorage(GrainStorage.Name), "memory");

    /// <summary>A storage of the caller's own.</summary>
    internal static StateStore Of(Action<ISiloBuilder> storage) => new(storage, "a storage of its own");

    /// <inheritdoc/>
    public void Dispose()
    {
        // The file is let go of last.
        foreach (var owned in _owned.Reverse())
            owned?.Dispose();
    }

    private static StateStore OpenFile(ClusterConfig config)
    {
        var path = config.State.Connection ?? Path.Combine(config.Data!, "coordinator.db");
        FileStream? held = null;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            held = Lock(path);
            var storage = new SqliteGrainStorage(path);
            return new StateStore(
                silo => silo.Services.AddKeyedSingleton<IGrainStorage>(GrainStorage.Name, (services, _) =>
                {
                    storage.Serializer = new OrleansGrainStorageSerializer(services.GetRequiredService<Serializer>());
                    return storage;
                }),
                path, held, storage);
        }
        catch (Exception error) when (error is SqliteException or UnauthorizedAccessException)
        {
            held?.Dispose();
            throw new IOException($"the coordinator's state in {path} cannot be opened: {error.Message}", error);
        }
    }

    private static FileStream Lock(string path)
    {
        try
        {
            return new FileStream($"{path}.lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
        }
        catch (IOException error)
        {
            throw new IOException(
                $"the coordinator's state in {path} is in use by another coordinator, or cannot be written ({error.Message}); "
                + "give each its own folder with --data DIR; several of one cluster take state: { provider: postgresql, connection: … }", error);
        }
    }

    private static StateStore OpenServer(ClusterConfig config)
    {
        NpgsqlConnectionStringBuilder builder;
        try
        {
            // Orleans takes times of day as it reads them to be UTC.
            builder = new NpgsqlConnectionStringBuilder(config.State.Connection) { Timezone = "UTC" };
        }
        catch (ArgumentException error)
        {
            throw new InvalidInputException([config.Error("state.connection", null, $"is no connection string of Npgsql: {error.Message}")]);
        }

        var description = $"PostgreSQL on {builder.Host}:{builder.Port}, database {builder.Database ?? builder.Username}";
        try
        {
            using var server = new NpgsqlConnection($"{builder}");
            server.Open();
            Prepare(server);
            return new StateStore(
                silo => silo.AddAdoNetGrainStorage(GrainStorage.Name, options => options.Configure<Serializer>((storage, serializer) =>
                {
                    (storage.Invariant, storage.ConnectionString, storage.DeleteStateOnClear) = ("Npgsql", $"{builder}", true);
                    storage.GrainStorageSerializer = new OrleansGrainStorageSerializer(serializer);
                })),
                description)
            {
                Database = $"{builder}",
            };
        }
        catch (Exception error) when (error is NpgsqlException or TimeoutException)
        {
            throw new IOException($"the coordinator's state in {description} cannot be reached: {error.Message}", error);
        }
    }

    private static void Prepare(NpgsqlConnection connection)
    {
        using var transaction = connection.BeginTransaction();
        // Two coordinators that start at once would make the same tables.
        Run(connection, "SELECT pg_advisory_xact_lock(hashtext('distributed tables'))");
        Run(connection, StateTables.Create);
        Run(connection, MembershipTables.Create);
        foreach (var (name, text) in StateTables.Queries.Concat(MembershipTables.Queries))
            Run(connection, StateTables.SetQuery, ("QueryKey", name), ("QueryText", text));
        transaction.Commit();
    }

    private static void Run(NpgsqlConnection connection, string text, params (string Name, string Value)[] parameters)
    {
        using var command = connection.CreateCommand();
        command.CommandText = text;
        foreach (var (name, value) in parameters)
            command.Parameters.AddWithValue(name, value);

        command.ExecuteNonQuery();
    }
}
