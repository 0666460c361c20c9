using System.Collections.Immutable;

namespace Distributed.Grains;

/// <inheritdoc cref="ISessionDirectoryGrain"/>
[Orleans.Placement.PreferLocalPlacement]
public sealed class SessionDirectoryGrain(
    [PersistentState("sessions", GrainStorage.Name)] IPersistentState<SessionDirectoryGrain.Storage> storage)
    : Grain, ISessionDirectoryGrain
{
    /// <inheritdoc/>
    public async Task<ImmutableArray<string>> EnterAsync(string session, SessionState state)
    {
        var entries = storage.State.Entries;
        entries.RemoveAll(entry => entry.Id == session);
        entries.Add(new Entry { Id = session, State = state });
        var dropped = entries
            .Where(entry => entry.State == SessionState.Ended)
            .SkipLast(ISessionDirectoryGrain.MaxEnded)
            .Select(entry => entry.Id)
            .ToImmutableArray();
        entries.RemoveAll(entry => dropped.Contains(entry.Id));
        await storage.WriteStateAsync();
        return dropped;
    }

    /// <inheritdoc/>
    public Task<ImmutableArray<string>> ListAsync() =>
        Task.FromResult(storage.State.Entries.Select(entry => entry.Id).ToImmutableArray());

    /// <summary>What the grain stores.</summary>
    [GenerateSerializer, Alias("distributed.SessionDirectoryGrain.Storage")]
    public sealed class Storage
    {
        /// <summary>All sessions, the one last entered at the end.</summary>
        [Id(0)] public List<Entry> Entries { get; init; } = [];
    }

    /// <summary>One session in the directory.</summary>
    [GenerateSerializer, Immutable, Alias("distributed.SessionDirectoryGrain.Entry")]
    public sealed record Entry
    {
        /// <summary>The session's id.</summary>
        [Id(0)] public required string Id { get; init; }

        /// <summary>Its state when last entered.</summary>
        [Id(1)] public required SessionState State { get; init; }
    }
}
