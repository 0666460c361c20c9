namespace Distributed.Grains;

/// <summary>The epochs and placements of a pipeline; the key is the name of the cluster's pipeline.</summary>
[Alias("distributed.IPipelineGrain")]
public interface IPipelineGrain : IGrainWithStringKey
{
    /// <summary>A new epoch, higher than every one before; the first is 1.</summary>
    [Alias("BeginEpoch")]
    Task<long> BeginEpochAsync();

    /// <summary>Takes down the placement of an epoch. One of an older epoch than the latest begun is ignored.</summary>
    [Alias("Place")]
    Task PlaceAsync(PipelineRecord record);

    /// <summary>The latest placement; null when there is none.</summary>
    [Alias("Get")]
    Task<PipelineRecord?> GetAsync();
}
