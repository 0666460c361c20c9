using System.Buffers;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Worker;

/// <summary>What came of an order: exactly one of a step for the next stage, a result for the watcher and a release to pass on.</summary>
/// <param name="Step">The step with its new hidden states.</param>
/// <param name="Result">The step's result.</param>
/// <param name="Released">The release, done here.</param>
/// <param name="ComputedNs">When computing ended, on this node's clock, ns.</param>
/// <param name="Buffer">The pooled buffer below the step's hidden states; null where there is none.</param>
public sealed record StageOutcome(Step? Step, StepResult? Result, Release? Released, long ComputedNs, byte[]? Buffer = null)
{
    /// <summary>Bytes of hidden states or logits.</summary>
    public int Bytes => Step?.Hidden.Length ?? Result?.Logits.Length ?? 0;

    /// <summary>Completes this stage's timing, the last in the list, as the frame goes to the transport.</summary>
    public void StampSerialized(IList<StageTiming> timings)
    {
        if (timings.Count == 0)
            return;
        var handed = NodeClock.Now;
        timings[^1].SerializeNs = handed - ComputedNs;
        if (timings[^1].Moments is { } moments)
            moments.HandedNs = handed;
    }

    /// <summary>Gives the buffer back once the frame is sent.</summary>
    public void ReturnBuffer()
    {
        if (Buffer is not null)
            ArrayPool<byte>.Shared.Return(Buffer);
    }
}
