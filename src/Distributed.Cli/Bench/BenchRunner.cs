using System.Diagnostics;

namespace Distributed.Cli.Bench;

/// <summary>Times tests on a loaded model.</summary>
/// <param name="target">The model.</param>
/// <param name="cancellation">Gives up between two steps.</param>
internal sealed class BenchRunner(BenchTarget target, CancellationToken cancellation)
{
    /// <summary>Runs a test once untimed, then <paramref name="repeats"/> times.</summary>
    /// <param name="test">The test.</param>
    /// <param name="repeats">How often.</param>
    /// <param name="between">Called before the first run and after each.</param>
    /// <returns>Seconds of each run.</returns>
    public async Task<double[]> RunAsync(BenchTest test, int repeats, Action between)
    {
        for (var sequence = 0; sequence < test.Sequences; sequence++)
            await target.PrepareAsync(sequence, test.Depth, cancellation);
        await RunOnceAsync(test);
        target.TakeHops(test);
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
        await (test.Kind == TestKind.Prefill
            ? target.PrefillAsync(test.Depth, test.Tokens, cancellation)
            : target.DecodeAsync(test.Sequences, test.Depth, test.Tokens, cancellation));
        return clock.Elapsed.TotalSeconds;
    }
}
