using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Scheduling;

/// <summary>
/// In how many batches sequences should decode: how often the slowest stage's time fits into a batch's way through all stages and
/// back. With equal stages that is their number. Where one stage takes nearly all the time it is 1: that stage is busy anyway, and
/// every further batch would have it read its weights once more.
/// </summary>
/// <param name="stages">Stages of the pipeline.</param>
internal sealed class StageBalance(int stages)
{
    // Follows a change within some ten steps, and does not jump with one slow step.
    private const double Weight = 0.125;
    private double _roundTripNs;
    private double _slowestNs;

    /// <summary>The number of batches, 1 to the number of stages; that number before anything is known.</summary>
    public int Groups => _slowestNs <= 0 ? stages : Math.Clamp((int)Math.Round(_roundTripNs / _slowestNs), 1, stages);

    /// <summary>Takes a decode step into account.</summary>
    /// <param name="timings">Of its stages.</param>
    /// <param name="time">From sending to receiving.</param>
    public void Add(IReadOnlyList<StageTiming> timings, TimeSpan time)
    {
        var roundTrip = time.TotalNanoseconds;
        var slowest = 0L;
        foreach (var timing in timings)
        {
            // Waiting for another batch is no part of the way.
            roundTrip -= timing.QueueNs;
            slowest = Math.Max(slowest, timing.ComputeNs);
        }

        if (slowest <= 0)
            return;
        var weight = _slowestNs > 0 ? Weight : 1;
        _roundTripNs += weight * (roundTrip - _roundTripNs);
        _slowestNs += weight * (slowest - _slowestNs);
    }
}
