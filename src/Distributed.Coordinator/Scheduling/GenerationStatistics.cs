using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;

namespace Distributed.Coordinator.Scheduling;

/// <summary>What a stage spent on a generated token, on average, in ms.</summary>
/// <param name="Stage">Its place in the pipeline, from 0.</param>
/// <param name="QueueMs">Waiting for the device.</param>
/// <param name="ComputeMs">Layers, and on the last stage head and sampler.</param>
public sealed record StageStatistics(int Stage, double QueueMs, double ComputeMs);

/// <summary>What the way into a stage cost a generated token, on average, in ms.</summary>
/// <param name="Index">The stage it leads to; the number of stages for the way back to the coordinator.</param>
/// <param name="SerializeMs">At the sender: hidden state to frame; at the coordinator, from asking for the step to sending it.</param>
/// <param name="WireMs">From the sender's transport to complete arrival.</param>
/// <param name="DeserializeMs">At the receiver: frame to hidden state; at the coordinator, until the caller has the result.</param>
public sealed record HopStatistics(int Index, double SerializeMs, double WireMs, double DeserializeMs)
{
    /// <summary>All three together.</summary>
    public double TotalMs => SerializeMs + WireMs + DeserializeMs;
}

/// <summary>Where a generation's time went. It grows with the generation and is complete when that has ended.</summary>
public sealed class GenerationStatistics
{
    private readonly double[] _queue;
    private readonly double[] _compute;
    private readonly double[] _serialize;
    private readonly double[] _wire;
    private readonly double[] _deserialize;
    private int _decodeSteps;
    private int _timedSteps;

    internal GenerationStatistics(int promptTokens, Placement placement)
    {
        (PromptTokens, Placement) = (promptTokens, placement);
        var stages = placement.Stages.Count;
        _queue = new double[stages];
        _compute = new double[stages];
        _serialize = new double[stages + 1];
        _wire = new double[stages + 1];
        _deserialize = new double[stages + 1];
    }

    /// <summary>Where the stages lay when it began. Another pipeline may have taken over since, with fewer stages or more.</summary>
    public Placement Placement { get; }

    /// <summary>Tokens in the prompt.</summary>
    public int PromptTokens { get; }

    /// <summary>How many of them the KV cache held already.</summary>
    public int ReusedTokens { get; internal set; }

    /// <summary>How long the request waited for a place.</summary>
    public TimeSpan WaitingTime { get; internal set; }

    /// <summary>From admission to the first token.</summary>
    public TimeSpan PrefillTime { get; internal set; }

    /// <summary>Tokens of the prompt computed per second; 0 before the first token.</summary>
    public double PrefillTokensPerSecond => PerSecond(PromptTokens - ReusedTokens, PrefillTime);

    /// <summary>Tokens drawn, an end-of-generation token among them.</summary>
    public int GeneratedTokens { get; internal set; }

    /// <summary>How many of them another coordinator had drawn before it ended.</summary>
    public int RecordedTokens { get; internal set; }

    /// <summary>The time of all steps behind the prefill; each gives one token.</summary>
    public TimeSpan DecodeTime { get; private set; }

    /// <summary>Tokens per second of decode; 0 when there was no step.</summary>
    public double DecodeTokensPerSecond => PerSecond(_decodeSteps, DecodeTime);

    /// <summary>The stages, averaged over the decode steps; zeros when there was none.</summary>
    public IReadOnlyList<StageStatistics> Stages =>
        [.. Enumerable.Range(0, _compute.Length).Select(stage => new StageStatistics(
            stage, PerStep(_queue[stage]), PerStep(_compute[stage])))];

    /// <summary>The hops, averaged over the decode steps: into stage 0, 1, …, and back to the coordinator.</summary>
    public IReadOnlyList<HopStatistics> Hops =>
        [.. Enumerable.Range(0, _wire.Length).Select(hop => new HopStatistics(
            hop, PerStep(_serialize[hop]), PerStep(_wire[hop]), PerStep(_deserialize[hop])))];

    internal void AddDecodeStep(IReadOnlyList<StageTiming> timings, TimeSpan stepTime)
    {
        _decodeSteps++;
        DecodeTime += stepTime;
        // After a loss there may be other stages: what they spend is not the same stages' time.
        if (timings.Count != _wire.Length)
            return;
        _timedSteps++;
        foreach (var timing in timings)
        {
            // The way back comes as a timing of its own, with the number of stages for its stage.
            var stage = timing.Stage;
            if ((uint)stage >= (uint)_wire.Length)
                continue;
            _wire[stage] += Milliseconds(timing.WireNs);
            _deserialize[stage] += Milliseconds(timing.DeserializeNs);
            if (stage == _compute.Length)
            {
                // What the coordinator spent before sending belongs to the way to stage 0.
                _serialize[0] += Milliseconds(timing.SerializeNs);
                continue;
            }

            _queue[stage] += Milliseconds(timing.QueueNs);
            _compute[stage] += Milliseconds(timing.ComputeNs);
            _serialize[stage + 1] += Milliseconds(timing.SerializeNs);
        }
    }

    private static double Milliseconds(long nanoseconds) => nanoseconds / 1e6;

    private static double PerSecond(int tokens, TimeSpan time) => time > TimeSpan.Zero ? tokens / time.TotalSeconds : 0;

    private double PerStep(double sum) => _timedSteps == 0 ? 0 : sum / _timedSteps;
}
