namespace Distributed.Grains;

/// <inheritdoc cref="IPipelineGrain"/>
[Orleans.Placement.PreferLocalPlacement]
public sealed class PipelineGrain(
    [PersistentState("pipeline", GrainStorage.Name)] IPersistentState<PipelineGrain.Storage> storage) : Grain, IPipelineGrain
{
    /// <inheritdoc/>
    public async Task<long> BeginEpochAsync()
    {
        storage.State.Epoch++;
        await storage.WriteStateAsync();
        return storage.State.Epoch;
    }

    /// <inheritdoc/>
    public async Task PlaceAsync(PipelineRecord record)
    {
        if (record.Epoch < storage.State.Epoch)
            return;
        storage.State.Record = record;
        await storage.WriteStateAsync();
    }

    /// <inheritdoc/>
    public Task<PipelineRecord?> GetAsync() => Task.FromResult(storage.State.Record);

    /// <summary>What the grain stores.</summary>
    [GenerateSerializer, Alias("distributed.PipelineGrain.Storage")]
    public sealed class Storage
    {
        /// <summary>The latest epoch begun; 0 before the first.</summary>
        [Id(0)] public long Epoch { get; set; }

        /// <summary>The latest placement; null before the first.</summary>
        [Id(1)] public PipelineRecord? Record { get; set; }
    }
}
