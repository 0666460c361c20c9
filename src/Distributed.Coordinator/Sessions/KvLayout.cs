using System.Collections.Immutable;
using Distributed.Core;
using Distributed.Grains;

namespace Distributed.Coordinator.Sessions;

/// <summary>Where a pipeline's KV cache lies, so that a sequence's part on every stage follows from its length alone.</summary>
/// <param name="Pipeline">The name the workers know the pipeline by.</param>
/// <param name="Epoch">The pipeline's epoch.</param>
/// <param name="Stages">The stages, in order.</param>
public sealed record KvLayout(string Pipeline, long Epoch, ImmutableArray<KvLayoutStage> Stages)
{
    /// <summary>Where the first <paramref name="tokens"/> tokens of a sequence lie, and those before <paramref name="shared"/> in blocks of others, too.</summary>
    public ImmutableArray<SessionStage> Of(int tokens, int shared)
    {
        var blocks = StageSpec.BlocksFor(tokens);
        return [.. Stages.Select((stage, index) => new SessionStage
        {
            Stage = index,
            Worker = stage.Worker,
            Device = stage.Device,
            FirstLayer = stage.FirstLayer,
            EndLayer = stage.EndLayer,
            KvTokens = tokens,
            KvBlocks = blocks,
            KvBytes = blocks * stage.BlockBytes,
            KvSharedBlocks = Math.Min(shared / StageSpec.KvBlockTokens, blocks),
        })];
    }
}

/// <summary>One stage of a <see cref="KvLayout"/>.</summary>
/// <param name="Worker">The worker's name.</param>
/// <param name="Device">Its device.</param>
/// <param name="FirstLayer">The first layer, from 0.</param>
/// <param name="EndLayer">One past the last layer.</param>
/// <param name="BlockBytes">Bytes of one block of KV cache over all layers of the stage.</param>
public sealed record KvLayoutStage(string Worker, string Device, int FirstLayer, int EndLayer, long BlockBytes);
