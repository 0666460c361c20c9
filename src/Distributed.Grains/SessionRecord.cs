using System.Collections.Immutable;
using Distributed.Core.Sampling;

namespace Distributed.Grains;

/// <summary>All that is known of a session: enough to say where its KV cache lies, and to compute it again elsewhere.</summary>
[GenerateSerializer, Immutable, Alias("distributed.session")]
public sealed record SessionRecord
{
    /// <summary>The session's id, as the client or the coordinator named it.</summary>
    [Id(0)] public required string Id { get; init; }

    /// <summary>What the session is doing.</summary>
    [Id(1)] public required SessionState State { get; init; }

    /// <summary>Token ids from position 0: the last request's prompt and what was generated behind it.</summary>
    [Id(2)] public ImmutableArray<int> Tokens { get; init; } = [];

    /// <summary>How the last request draws its tokens.</summary>
    [Id(3)] public required SamplingOptions Sampling { get; init; }

    /// <summary>The pipeline that holds the KV cache.</summary>
    [Id(4)] public required string Pipeline { get; init; }

    /// <summary>The pipeline's epoch when this was written.</summary>
    [Id(5)] public required long Epoch { get; init; }

    /// <summary>The session's number within the pipeline; what workers call it.</summary>
    [Id(6)] public required long Sequence { get; init; }

    /// <summary>Where the KV cache lies, stage by stage.</summary>
    [Id(7)] public ImmutableArray<SessionStage> Stages { get; init; } = [];

    /// <summary>When the session's first request came.</summary>
    [Id(8)] public required DateTimeOffset Created { get; init; }

    /// <summary>When this was written.</summary>
    [Id(9)] public required DateTimeOffset Updated { get; init; }

    /// <summary>Rises with every change within an epoch, so that a late write never undoes a newer one.</summary>
    [Id(10)] public required long Revision { get; init; }

    /// <summary>How many of the tokens are the last request's prompt; those behind it have been drawn.</summary>
    [Id(11)] public int PromptTokens { get; init; }

    /// <summary>Whether the session outlives its request; one that does not is of no use to the next coordinator.</summary>
    [Id(12)] public bool Kept { get; init; }
}

/// <summary>A session's part of the KV cache on one stage.</summary>
[GenerateSerializer, Immutable, Alias("distributed.session-stage")]
public sealed record SessionStage
{
    /// <summary>The stage's place in the pipeline, from 0.</summary>
    [Id(0)] public required int Stage { get; init; }

    /// <summary>The worker's name.</summary>
    [Id(1)] public required string Worker { get; init; }

    /// <summary>The worker's device: cpu, cuda:0 …</summary>
    [Id(2)] public required string Device { get; init; }

    /// <summary>The stage's first layer, from 0.</summary>
    [Id(3)] public required int FirstLayer { get; init; }

    /// <summary>One past the stage's last layer.</summary>
    [Id(4)] public required int EndLayer { get; init; }

    /// <summary>Tokens of the session in the stage's KV cache.</summary>
    [Id(5)] public required int KvTokens { get; init; }

    /// <summary>Blocks they take.</summary>
    [Id(6)] public required int KvBlocks { get; init; }

    /// <summary>Bytes of these blocks over the stage's layers.</summary>
    [Id(7)] public required long KvBytes { get; init; }

    /// <summary>How many of the blocks, from the first on, other sessions hold or have held too; the others are the session's own.</summary>
    [Id(8)] public int KvSharedBlocks { get; init; }
}
