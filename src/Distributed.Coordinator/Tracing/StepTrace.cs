using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Tracing;

/// <summary>What a part of a step's time went to.</summary>
public enum PartKind
{
    /// <summary>Waiting: in the coordinator until the step could be sent, on a stage until its device was free.</summary>
    Queue,

    /// <summary>From the sender's transport, which encodes the frame, to complete arrival.</summary>
    Wire,

    /// <summary>From complete arrival to a hidden state, or a result, in memory.</summary>
    Deserialize,

    /// <summary>Layers; on the first stage the embedding too, on the last one head and sampler.</summary>
    Compute,

    /// <summary>From computed to handed to the transport; waiting for the frame before it counts.</summary>
    Serialize,

    /// <summary>In the coordinator, from a result in memory to the caller that waits for it.</summary>
    Deliver,
}

/// <summary>A part of a step's time.</summary>
/// <param name="Kind">What it went to.</param>
/// <param name="Stage">The stage; null for the coordinator. The wire belongs to the receiver.</param>
/// <param name="StartNs">When it began, on the coordinator's clock, ns.</param>
/// <param name="EndNs">When it ended; the next part begins then.</param>
public readonly record struct StepPart(PartKind Kind, int? Stage, long StartNs, long EndNs);

/// <summary>The way of one step through the pipeline, on the coordinator's clock.</summary>
/// <param name="Step">The step's number.</param>
/// <param name="Slices">Sequence, position of its first token and number of tokens, for each sequence in the step.</param>
/// <param name="Parts">Its parts in order, without a gap: from the coordinator's asking for it to its having the result.</param>
/// <param name="LayersNs">
/// Per stage the moment when the first layer began, then when each layer ended, within the stage's compute part; empty where
/// layers were not asked for.
/// </param>
/// <param name="Bytes">Per stage the bytes of hidden states that arrived.</param>
public sealed record StepTrace(
    long Step,
    IReadOnlyList<(long Sequence, int Start, int Count)> Slices,
    IReadOnlyList<StepPart> Parts,
    IReadOnlyList<IReadOnlyList<long>> LayersNs,
    IReadOnlyList<long> Bytes)
{
    /// <summary>Tokens of all sequences.</summary>
    public int Tokens => Slices.Sum(slice => slice.Count);

    /// <summary>When the coordinator asked for the step, ns.</summary>
    public long StartNs => Parts[0].StartNs;

    /// <summary>When the caller had the result, ns.</summary>
    public long EndNs => Parts[^1].EndNs;

    /// <summary>Puts a step's moments, each from its own node's clock, in line.</summary>
    /// <param name="recorded">The moments.</param>
    /// <param name="toLocal">From the clock of a stage's worker to the coordinator's.</param>
    public static StepTrace Of(RecordedStep recorded, Func<int, long, long> toLocal)
    {
        var (slices, result, asked, handed, received) = recorded;
        var parts = new List<StepPart> { new(PartKind.Queue, null, asked, handed) };
        List<IReadOnlyList<long>> layers = [];
        List<long> bytes = [];
        var back = result.Timings[^1].Moments;
        foreach (var timing in result.Timings.SkipLast(1))
        {
            var (stage, moments) = (timing.Stage, timing.Moments);
            Add(PartKind.Wire, stage, toLocal(stage, moments.ArrivedNs));
            Add(PartKind.Deserialize, stage, toLocal(stage, moments.AcceptedNs));
            Add(PartKind.Queue, stage, toLocal(stage, moments.StartedNs));
            Add(PartKind.Compute, stage, toLocal(stage, moments.ComputedNs));
            var compute = parts[^1];
            layers.Add([.. moments.LayersNs.Select(ns => Math.Clamp(toLocal(stage, ns), compute.StartNs, compute.EndNs))]);
            Add(PartKind.Serialize, stage, toLocal(stage, moments.HandedNs));
            bytes.Add(moments.Bytes);
        }

        Add(PartKind.Wire, null, back.ArrivedNs);
        Add(PartKind.Deserialize, null, back.AcceptedNs);
        Add(PartKind.Deliver, null, received);
        return new StepTrace(
            result.Step, [.. slices.Select(slice => (slice.Sequence, slice.Start, slice.Count))], parts, layers, bytes);

        // Clocks that are a little off must not turn time back: a step is nowhere before it was sent nor after it came back.
        void Add(PartKind kind, int? stage, long end)
        {
            var start = parts[^1].EndNs;
            var latest = stage is null ? long.MaxValue : Math.Max(handed, back.ArrivedNs);
            parts.Add(new StepPart(kind, stage, start, Math.Max(start, Math.Min(end, latest))));
        }
    }
}

/// <summary>A step's moments, each on the clock of the node that took it.</summary>
/// <param name="Slices">What the step held.</param>
/// <param name="Result">What came of it, with each stage's moments and the coordinator's own at the end.</param>
/// <param name="AskedNs">When the caller asked for it, ns.</param>
/// <param name="HandedNs">When it was handed to the transport, ns.</param>
/// <param name="ReceivedNs">When the caller had the result, ns.</param>
public readonly record struct RecordedStep(IReadOnlyList<Slice> Slices, StepResult Result, long AskedNs, long HandedNs, long ReceivedNs);
