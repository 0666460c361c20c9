using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Coordinator.Scheduling;
using Distributed.Core.Sampling;

namespace Distributed.Coordinator;

/// <summary>
/// A few tokens through stages that have just been loaded, so that the first request does not wait until the code on its way is there.
/// Nothing of them is left: neither KV cache nor a session.
/// </summary>
internal static class Rehearsal
{
    private const int Prompt = 14;
    private const int Answer = 16;

    // Where layers compute for longer than this with every token, what is won is not to be seen, and what it takes is.
    private const double LongestTokenMs = 10;

    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    /// <summary>Rehearses, unless the plan says that it would take long or does not say; a failure is left to who looks at the pipeline.</summary>
    /// <param name="pipeline">The stages; nobody else uses them yet.</param>
    /// <param name="config">The cluster.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task RunAsync(Pipeline pipeline, ClusterConfig config, CancellationToken cancellation)
    {
        var placement = pipeline.Placement;
        if (placement.Costs is not { } costs || placement.Context <= Prompt + Answer || config.MaxBatchTokens < Prompt
            || costs.Decode(Prompt).Stages.Sum() > LongestTokenMs)
            return;
        var started = Stopwatch.GetTimestamp();
        try
        {
            await using var scheduler = new Scheduler(pipeline, config, isEnd: _ => false, changed: (_, _) => { });
            var request = new GenerationRequest
            {
                Tokens = new int[Prompt],
                Sampling = new SamplingOptions { Temperature = 0 },
                MaxTokens = Answer,
                IgnoreEnd = true,
            };
            await foreach (var _ in scheduler.Generate(request, cancellation))
            {
                if (Stopwatch.GetElapsedTime(started) > Patience)
                    break;
            }
        }
        catch (StageFailureException)
        {
        }
    }
}
