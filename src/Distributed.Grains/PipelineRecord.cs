using System.Collections.Immutable;

namespace Distributed.Grains;

/// <summary>Which stage has which layers in one epoch of a pipeline.</summary>
[GenerateSerializer, Immutable, Alias("distributed.pipeline")]
public sealed record PipelineRecord
{
    /// <summary>The epoch; it rises with every new placement.</summary>
    [Id(0)] public required long Epoch { get; init; }

    /// <summary>The name the workers know the pipeline by.</summary>
    [Id(1)] public required string Name { get; init; }

    /// <summary>The model's name.</summary>
    [Id(2)] public required string Model { get; init; }

    /// <summary>The stages, in order.</summary>
    [Id(3)] public ImmutableArray<PipelineStage> Stages { get; init; } = [];

    /// <summary>When the placement was made.</summary>
    [Id(4)] public required DateTimeOffset Placed { get; init; }

    /// <summary>Workers that no placement may use until they are asked back.</summary>
    [Id(5)] public ImmutableArray<string> Drained { get; init; } = [];

    /// <summary>What the cluster file asked of the placement; with other rules it is not gone on with.</summary>
    [Id(6)] public string Rules { get; init; } = "";

    /// <summary>The hash of the model's files, in hexadecimal: sessions with another model's tokens are of no use.</summary>
    [Id(7)] public string ModelHash { get; init; } = "";
}

/// <summary>One stage of a placement.</summary>
[GenerateSerializer, Immutable, Alias("distributed.pipeline-stage")]
public sealed record PipelineStage
{
    /// <summary>The worker's name.</summary>
    [Id(0)] public required string Worker { get; init; }

    /// <summary>Where the worker listens.</summary>
    [Id(1)] public required string Address { get; init; }

    /// <summary>The worker's device.</summary>
    [Id(2)] public required string Device { get; init; }

    /// <summary>The first layer, from 0.</summary>
    [Id(3)] public required int FirstLayer { get; init; }

    /// <summary>One past the last layer.</summary>
    [Id(4)] public required int EndLayer { get; init; }

    /// <summary>Blocks in the stage's KV cache.</summary>
    [Id(5)] public required int KvBlocks { get; init; }
}
