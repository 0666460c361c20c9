using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Tracing;

/// <summary>
/// Keeps the moments of a pipeline's steps (<see cref="Pipeline.Recorder"/>), up to a limit. Safe to use from several threads.
/// </summary>
/// <param name="layers">Ask for the moment when each layer ended, too.</param>
/// <param name="maxMoments">The most moments to keep, of all steps together.</param>
public sealed class StepRecorder(bool layers, int maxMoments = StepRecorder.DefaultMaxMoments)
{
    /// <summary>The moments kept unless told otherwise: some twelve thousand tokens through three stages, in about 15 MB.</summary>
    public const int DefaultMaxMoments = 250_000;

    private readonly Lock _lock = new();
    private readonly List<RecordedStep> _steps = [];
    private readonly Dictionary<long, long> _outNs = [];
    private int _moments;

    /// <summary>Whether each layer is asked for.</summary>
    public bool Layers { get; } = layers;

    /// <summary>How many steps were not kept, because the limit was reached.</summary>
    public int Dropped { get; private set; }

    /// <summary>Says that the token a step drew is out: on the screen, or on its way to a client.</summary>
    /// <param name="step">The step's number.</param>
    public void TokenOut(long step)
    {
        var now = NodeClock.Now;
        lock (_lock)
        {
            if (Dropped == 0)
                _outNs[step] = now;
        }
    }

    /// <summary>The steps kept so far, in the order of their sending, with the moment when their token was out, ns; null for none.</summary>
    /// <param name="clocks">The workers' clocks, by stage.</param>
    public IReadOnlyList<(StepTrace Step, long? OutNs)> Read(IReadOnlyList<PeerClock> clocks)
    {
        lock (_lock)
        {
            return
            [
                .. _steps.OrderBy(step => step.Result.Step).Select(step => (
                    StepTrace.Of(step, (stage, ns) => clocks[stage].ToLocal(ns)),
                    _outNs.TryGetValue(step.Result.Step, out var ns) ? ns : (long?)null)),
            ];
        }
    }

    internal void Add(IReadOnlyList<Slice> slices, StepResult result, long askedNs, long handedNs, long receivedNs)
    {
        // A step that was sent before the recorder came asked for no moments.
        if (result.Timings.Any(timing => timing.Moments is null))
            return;
        lock (_lock)
        {
            _moments += result.Timings.Sum(timing => 5 + timing.Moments.LayersNs.Count);
            if (Dropped > 0 || _moments > maxMoments)
            {
                Dropped++;
                return;
            }

            // Logits are not for keeping.
            var kept = new StepResult { Step = result.Step };
            kept.Timings.Add(result.Timings);
            _steps.Add(new RecordedStep(slices, kept, askedNs, handedNs, receivedNs));
        }
    }
}
