using Distributed.Cluster.Protocol;
using Distributed.Core;
using Grpc.Core;

namespace Distributed.Coordinator;

// Whether steps that are under way move. A damaged length makes a receiver wait for bytes that never come, and a connection of its own
// may be cut off, while everybody goes on answering.
public sealed partial class Pipeline
{
    private const int LooksPerTimeout = 8;

    // So many looks in a row have to find nothing moved; one more comes before them, and one behind.
    private const int StillLooks = LooksPerTimeout - 2;

    // No link is taken to be faster, whatever was measured: others may use it now, and a frame that is late is no frame that is lost.
    private const double MostBytesPerSecond = 1e6;

    private async Task WatchProgressAsync(ModelConfig model)
    {
        var slowest = Placement.Links.All.Values.Select(link => link.BytesPerSecond / 2).Append(MostBytesPerSecond).Min();
        var wait = Placement.Stages.Select(stage => _linkOf(stage.Worker)?.Wait ?? TimeSpan.Zero).Max();
        var interval = _failureTimeout / LooksPerTimeout;
        var (still, heard, seen) = (0, -1L, "");
        try
        {
            while (!Failed.IsCompleted)
            {
                await Task.Delay(interval, _stopping.Token);
                // Looks are counted, not time: this process itself may have been without a core.
                var (heardBefore, sent) = (heard, Interlocked.Read(ref _sent));
                heard = Interlocked.Read(ref _heard);
                if ((_steps.IsEmpty && _releases.IsEmpty) || heard != heardBefore
                    || await ReadProgressAsync(_failureTimeout) is not { } stages || stages.Exists(stage => stage.Computing))
                {
                    still = 0;
                    continue;
                }

                var now = $"{sent} {string.Join(' ', stages)}";
                still = now == seen ? still + 1 : 0;
                seen = now;
                if (still >= StillLooks && interval * (still - StillLooks) >= wait + TimeSpan.FromSeconds(LargestFrame(model) / slowest))
                    Fail(Stuck(stages, sent, interval * still));
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    // In the order of the stages; null where a worker does not answer, which others notice.
    private async Task<List<StageProgress>?> ReadProgressAsync(TimeSpan patience)
    {
        try
        {
            var reports = await Task.WhenAll(Placement.Stages.DistinctBy(stage => stage.Worker).Select(stage => _workers.ClientOf(stage)
                .ReportProgressAsync(
                    new ProgressRequest { Pipeline = Name }, deadline: DateTime.UtcNow + patience, cancellationToken: _stopping.Token)
                .ResponseAsync));
            return [.. reports.SelectMany(report => report.Stages).OrderBy(stage => stage.Stage)];
        }
        catch (RpcException)
        {
            _stopping.Token.ThrowIfCancellationRequested();
            return null;
        }
    }

    // Bytes of the largest frame that may be under way.
    private double LargestFrame(ModelConfig model)
    {
        var steps = _steps.Values.Select(pending => pending.Step).ToList();
        return steps.Select(step => Math.Max(
            (double)step.Tokens.Count * model.HiddenSize, step.Slices.Sum(slice => slice.AllLogits ? (double)slice.Count * model.VocabSize : 0)))
            .DefaultIfEmpty(0).Max() * sizeof(float);
    }

    private Failure Stuck(List<StageProgress> stages, long sent, TimeSpan silence)
    {
        var (from, before) = ("the coordinator", sent);
        foreach (var (stage, placed) in stages.Zip(Placement.Stages))
        {
            if (stage.LastTaken < before)
                return Lost(placed.Worker, stage.Stage, $"has not received step {before}, sent by {from}, for {silence.TotalSeconds:0.0} s, and nothing moves");
            (from, before) = (placed.Worker, stage.LastDone);
        }

        return Lost(
            from, stages.Count - 1,
            $"has carried out all steps, and nothing of {(_steps.IsEmpty ? "a release" : $"step {before}'s result")} has come back for "
            + $"{silence.TotalSeconds:0.0} s");
    }

    private static Failure Lost(string worker, int stage, string message) =>
        new() { Code = FailureCode.HopLost, Message = message, Worker = worker, Stage = stage };
}
