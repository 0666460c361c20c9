using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator;
using Distributed.Core.Sampling;

namespace Distributed.Cli.Lab;

/// <summary>A prompt and an answer of made-up tokens, sent through a pipeline that nobody else uses, as sequence 0.</summary>
/// <param name="pipeline">The pipeline.</param>
/// <param name="vocabulary">Tokens of the model.</param>
/// <param name="cancellation">Gives up between two steps.</param>
internal sealed class LabSteps(Pipeline pipeline, int vocabulary, CancellationToken cancellation)
{
    private static readonly Sampling Greedy = new SamplingOptions { Temperature = 0 }.ToMessage([]);

    private readonly Random _random = new(1);

    /// <summary>Sends a prompt in a request's chunks: one for every stage to work at, and one more to find when it is done.</summary>
    /// <returns>The chunks' results.</returns>
    public async Task<List<StepResult>> PrefillAsync(int tokens)
    {
        var results = new List<StepResult>();
        var flying = new Queue<Task<StepResult>>();
        var chunk = pipeline.ChunkFor(tokens);
        for (var start = 0; start < tokens; start += chunk)
        {
            if (flying.Count > pipeline.Placement.Stages.Count)
                results.Add(await flying.Dequeue());
            var count = Math.Min(chunk, tokens - start);
            flying.Enqueue(StepAsync(start, count, draw: start + count == tokens));
        }

        while (flying.Count > 0)
            results.Add(await flying.Dequeue());
        return results;
    }

    /// <summary>Computes one token after the other.</summary>
    /// <param name="start">Tokens that are cached already.</param>
    /// <param name="count">Tokens to compute.</param>
    /// <returns>Each token's result and the time it took.</returns>
    public async Task<List<(StepResult Result, TimeSpan Time)>> DecodeAsync(int start, int count)
    {
        var steps = new List<(StepResult, TimeSpan)>();
        for (var i = 0; i < count; i++)
        {
            var clock = Stopwatch.GetTimestamp();
            var result = await StepAsync(start + i, 1, draw: true);
            steps.Add((result, Stopwatch.GetElapsedTime(clock)));
        }

        return steps;
    }

    /// <summary>Frees the KV cache.</summary>
    public Task ReleaseAsync() => pipeline.ReleaseAsync([0], cancellation);

    private Task<StepResult> StepAsync(int start, int count, bool draw)
    {
        var tokens = new int[count];
        foreach (ref var token in tokens.AsSpan())
            token = _random.Next(vocabulary);
        return pipeline.RunAsync([new Slice { Start = start, Count = count, Sampling = draw ? Greedy : null }], tokens, cancellation);
    }
}
