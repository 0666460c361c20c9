namespace Distributed.Cli.Bench;

/// <summary>What the device could do at best at one moment, with as many threads as the test has.</summary>
/// <param name="BytesPerSecond">Reading memory; on a card copying within its own, bytes read and bytes written.</param>
/// <param name="OperationsPerSecond">Multiplying, two operations to a multiply-add.</param>
/// <param name="Threads">Who read and multiplied; 0 for a device that has none to choose.</param>
internal sealed record Limits(double BytesPerSecond, double OperationsPerSecond, int Threads)
{
    /// <summary>The limits of a test: of those measured right before and right after each run the better, and of all runs the median.</summary>
    /// <param name="measured">One more than runs. A machine that stands still for a moment spoils one of two, hardly both.</param>
    public static Limits Of(IReadOnlyList<Limits> measured)
    {
        var pairs = measured.Zip(measured.Skip(1)).ToList();
        return new Limits(
            Statistics.Median(pairs.Select(pair => Math.Max(pair.First.BytesPerSecond, pair.Second.BytesPerSecond))),
            Statistics.Median(pairs.Select(pair => Math.Max(pair.First.OperationsPerSecond, pair.Second.OperationsPerSecond))),
            measured[0].Threads);
    }
}
