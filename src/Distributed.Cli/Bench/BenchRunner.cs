using System.Diagnostics;
using Distributed.Engine.KvCache;

namespace Distributed.Cli.Bench;

/// <summary>Times tests on a loaded model. Which tokens it computes does not matter, so they are random.</summary>
/// <param name="target">The model.</param>
/// <param name="vocabulary">Tokens to draw from.</param>
/// <param name="batch">The most tokens in a step.</param>
/// <param name="cancellation">Gives up between two steps.</param>
internal sealed class BenchRunner(BenchTarget target, int vocabulary, int batch, CancellationToken cancellation)
{
    private readonly Random _random = new(1);

    /// <summary>Runs a test once untimed, then <paramref name="repeats"/> times.</summary>
    /// <param name="test">The test.</param>
    /// <param name="repeats">How often.</param>
    /// <param name="between">Called before the first run and after each.</param>
    /// <returns>Seconds of each run.</returns>
    public async Task<double[]> RunAsync(BenchTest test, int repeats, Action between)
    {
        for (var sequence = 0; sequence < test.Sequences; sequence++)
            await PrefillAsync(sequence, 0, test.Depth, outputs: false);
        await RunOnceAsync(test);
        target.TakeHops();
        between();
        var seconds = new double[repeats];
        for (var i = 0; i < repeats; i++)
        {
            seconds[i] = await RunOnceAsync(test);
            between();
        }
        await target.ReleaseAsync(test.Sequences, cancellation);
        return seconds;
    }

    private async Task<double> RunOnceAsync(BenchTest test)
    {
        var clock = Stopwatch.StartNew();
        if (test.Kind == TestKind.Prefill)
            await PrefillAsync(0, test.Depth, test.Tokens, outputs: true);
        else
            await DecodeAsync(test);
        return clock.Elapsed.TotalSeconds;
    }

    private async Task PrefillAsync(int sequence, int start, int count, bool outputs)
    {
        var flights = new Queue<Task>();
        for (var done = 0; done < count; done += batch)
        {
            if (flights.Count == target.StepsInFlight)
                await flights.Dequeue();
            var tokens = Tokens(Math.Min(batch, count - done));
            flights.Enqueue(target.StepAsync(
                [new SequenceSlice(sequence, start + done, tokens.Length)], tokens, outputs && done + tokens.Length == count, cancellation));
        }

        await Task.WhenAll(flights);
    }

    private async Task DecodeAsync(BenchTest test)
    {
        for (var i = 0; i < test.Tokens; i++)
        {
            var slices = new SequenceSlice[test.Sequences];
            for (var sequence = 0; sequence < slices.Length; sequence++)
                slices[sequence] = new SequenceSlice(sequence, test.Depth + i, 1);
            await target.StepAsync(slices, Tokens(slices.Length), outputs: true, cancellation);
        }
    }

    private int[] Tokens(int count)
    {
        var tokens = new int[count];
        foreach (ref var token in tokens.AsSpan())
            token = _random.Next(vocabulary);
        return tokens;
    }
}
