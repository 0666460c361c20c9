using Distributed.Cpu;

namespace Distributed.Cli.Bench;

/// <summary>What the machine could do at best at one moment, with as many threads as the test has.</summary>
/// <param name="BytesPerSecond">Reading memory.</param>
/// <param name="OperationsPerSecond">Multiplying, two operations to a multiply-add.</param>
internal sealed record Limits(double BytesPerSecond, double OperationsPerSecond)
{
    // Tens of milliseconds each: others that take a core for a moment must not pass for the machine.
    private const int Tries = 3;

    /// <summary>Measures: the best of a few tries.</summary>
    /// <param name="rates">What is read.</param>
    /// <param name="threads">Who reads and multiplies.</param>
    /// <param name="isFloat">The model's weights are multiplied as float32, not as bytes.</param>
    public static Limits Measure(PeakRates rates, CpuThreads threads, bool isFloat) => new(
        Enumerable.Range(0, Tries).Max(_ => rates.ReadRate(threads)),
        Enumerable.Range(0, Tries).Max(_ => isFloat ? PeakRates.FloatRate(threads) : PeakRates.ByteRate(threads)));

    /// <summary>The limits of a test: of those measured right before and right after each run the better, and of all runs the median.</summary>
    /// <param name="measured">One more than runs. A machine that stands still for a moment spoils one of two, hardly both.</param>
    public static Limits Of(IReadOnlyList<Limits> measured)
    {
        var pairs = measured.Zip(measured.Skip(1)).ToList();
        return new Limits(
            Statistics.Median(pairs.Select(pair => Math.Max(pair.First.BytesPerSecond, pair.Second.BytesPerSecond))),
            Statistics.Median(pairs.Select(pair => Math.Max(pair.First.OperationsPerSecond, pair.Second.OperationsPerSecond))));
    }
}
