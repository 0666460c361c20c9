namespace Distributed.Grains;

/// <inheritdoc cref="ISessionGrain"/>
[Orleans.Placement.PreferLocalPlacement]
public sealed class SessionGrain(
    [PersistentState("session", GrainStorage.Name)] IPersistentState<SessionGrain.Storage> storage) : Grain, ISessionGrain
{
    /// <inheritdoc/>
    public async Task<int> RecordAsync(SessionRecord record, int from)
    {
        var known = storage.State.Record;
        var knownTokens = known?.Tokens.Length ?? 0;
        if (from > knownTokens)
            return knownTokens;
        if (known is not null && (known.Epoch, known.Revision).CompareTo((record.Epoch, record.Revision)) >= 0)
            return knownTokens;
        storage.State.Record = from == 0 ? record : record with { Tokens = known!.Tokens[..from].AddRange(record.Tokens) };
        try
        {
            await storage.WriteStateAsync();
        }
        catch
        {
            // What is not stored is not on record: the same write may come again.
            storage.State.Record = known;
            throw;
        }

        return storage.State.Record.Tokens.Length;
    }

    /// <inheritdoc/>
    public Task<SessionRecord?> GetAsync() => Task.FromResult(storage.State.Record);

    /// <inheritdoc/>
    public async Task ForgetAsync()
    {
        await storage.ClearStateAsync();
        storage.State.Record = null;
        DeactivateOnIdle();
    }

    /// <summary>What the grain stores.</summary>
    [GenerateSerializer, Alias("distributed.SessionGrain.Storage")]
    public sealed class Storage
    {
        /// <summary>The session; null before the first write.</summary>
        [Id(0)] public SessionRecord? Record { get; set; }
    }
}
