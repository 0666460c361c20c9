using Distributed.Core;
using Distributed.Worker;

namespace Distributed.Cli.Bench;

/// <summary>What one test came to, as <c>--json</c> has it. GB are 10⁹ bytes, Gops 10⁹ operations, two to a multiply-add.</summary>
internal sealed record BenchRow
{
    /// <summary><c>prefill</c> or <c>decode</c>.</summary>
    public required string Test { get; init; }

    /// <summary>The model's name, or the shape's.</summary>
    public required string Model { get; init; }

    /// <summary>The format of the weights: of most of them, for a file.</summary>
    public required string Type { get; init; }

    /// <summary>Tokens of each sequence.</summary>
    public required int Tokens { get; init; }

    /// <summary>Tokens that each sequence had before.</summary>
    public required int Depth { get; init; }

    /// <summary>Sequences side by side.</summary>
    public required int Sequences { get; init; }

    /// <summary>The most tokens in a step.</summary>
    public required int Batch { get; init; }

    /// <summary>Threads, of each worker; 0 for a device that has none to choose.</summary>
    public required int Threads { get; init; }

    /// <summary>Worker processes; 0 for none.</summary>
    public required int Workers { get; init; }

    /// <summary>The device.</summary>
    public required string Device { get; init; }

    /// <summary>The processor's or card's own name.</summary>
    public required string Hardware { get; init; }

    /// <summary>The format of the KV cache.</summary>
    public required string KvType { get; init; }

    /// <summary>Timed runs.</summary>
    public required int Repeats { get; init; }

    /// <summary>Tokens of all sequences per second: the median of the runs.</summary>
    public required double TokensPerSecond { get; init; }

    /// <summary>The standard deviation of the runs.</summary>
    public required double Stdev { get; init; }

    /// <summary>The slowest run.</summary>
    public required double Min { get; init; }

    /// <summary>The fastest run.</summary>
    public required double Max { get; init; }

    /// <summary>Milliseconds that a token takes, or one of each sequence.</summary>
    public required double MsPerToken { get; init; }

    /// <summary>Bytes of weights, keys and values read for a token, as counted from the model's shape.</summary>
    public required double BytesPerToken { get; init; }

    /// <summary>Such bytes per second.</summary>
    public required double BandwidthGBps { get; init; }

    /// <summary>Bytes per second of a plain read, on a card of a copy, measured between the runs.</summary>
    public required double LimitGBps { get; init; }

    /// <summary>Operations for a token, as counted from the model's shape.</summary>
    public required double OperationsPerToken { get; init; }

    /// <summary>Such operations per second.</summary>
    public required double Gops { get; init; }

    /// <summary>Operations per second of a loop of multiplications alone, measured between the runs.</summary>
    public required double LimitGops { get; init; }

    /// <summary>
    /// Threads that the limits were measured with: those of all workers that can compute at once, which for one sequence's decode is one.
    /// </summary>
    public required int LimitThreads { get; init; }

    /// <summary>Which limit is the nearer one: <c>memory</c> or <c>compute</c>.</summary>
    public required string LimitedBy { get; init; }

    /// <summary>How much of the nearer limit was reached.</summary>
    public required double PercentOfLimit { get; init; }

    /// <summary>Memory, forecast and taken, in bytes.</summary>
    public required BenchMemory Memory { get; init; }

    /// <summary>The way from node to node, in the pipeline's order; empty without worker processes.</summary>
    public IReadOnlyList<HopRow> Hops { get; init; } = [];

    /// <summary>What it was measured on.</summary>
    public Machine Machine { get; } = Machine.This;

    /// <summary>Fills in all that follows from the seconds of the runs.</summary>
    public static BenchRow Of(BenchTest test, IReadOnlyList<double> seconds, Limits limits, ModelWork work, BenchSetup setup, BenchMemory memory)
    {
        double[] rates = [.. seconds.Select(second => test.AllTokens / second)];
        var rate = Statistics.Median(rates);
        var (bytes, operations) = (work.Bytes(test) / test.AllTokens, work.Operations(test) / test.AllTokens);
        var (memoryShare, computeShare) = (bytes * rate / limits.BytesPerSecond, operations * rate / limits.OperationsPerSecond);
        return new BenchRow
        {
            Test = test.Kind.ToString().ToLowerInvariant(),
            Model = setup.Model,
            Type = setup.Type,
            Tokens = test.Tokens,
            Depth = test.Depth,
            Sequences = test.Sequences,
            Batch = setup.Batch,
            Threads = setup.Threads,
            Workers = setup.Workers,
            Device = setup.Device.Name,
            Hardware = setup.Device.Hardware,
            KvType = setup.KvType.ToName(),
            Repeats = rates.Length,
            TokensPerSecond = rate,
            Stdev = Statistics.Deviation(rates),
            Min = rates.Min(),
            Max = rates.Max(),
            MsPerToken = 1000 * test.Sequences / rate,
            BytesPerToken = bytes,
            BandwidthGBps = bytes * rate / 1e9,
            LimitGBps = limits.BytesPerSecond / 1e9,
            OperationsPerToken = operations,
            Gops = operations * rate / 1e9,
            LimitGops = limits.OperationsPerSecond / 1e9,
            LimitThreads = limits.Threads,
            LimitedBy = memoryShare > computeShare ? "memory" : "compute",
            PercentOfLimit = 100 * Math.Max(memoryShare, computeShare),
            Memory = memory,
        };
    }
}

/// <summary>What the rows of one loaded model have in common.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Type">The format of its weights.</param>
/// <param name="Batch">The most tokens in a step.</param>
/// <param name="Threads">Threads, of each worker.</param>
/// <param name="Workers">Worker processes; 0 for none.</param>
/// <param name="KvType">The format of the KV cache.</param>
/// <param name="Device">What computes.</param>
internal sealed record BenchSetup(string Model, string Type, int Batch, int Threads, int Workers, KvType KvType, Device Device);

/// <summary>Memory in bytes.</summary>
/// <param name="Weights">Weights, the LM head included.</param>
/// <param name="KvCache">Keys and values of all sequences.</param>
/// <param name="Scratch">What layers and kernels work in.</param>
/// <param name="Forecast">What was forecast for these three together, before loading.</param>
/// <param name="PeakResident">
/// The most that the processes have held so far, the runtime and its code included, but not what limits are measured with.
/// </param>
internal sealed record BenchMemory(long Weights, long KvCache, long Scratch, long Forecast, long PeakResident)
{
    /// <summary>
    /// What a card's driver said was free before loading, less what it says is now; null where no driver says, or workers have loaded.
    /// </summary>
    public long? DeviceTaken { get; init; }

    /// <summary>The same for each worker that has layers, in the pipeline's order; empty without workers.</summary>
    public IReadOnlyList<WorkerAccount> Workers { get; init; } = [];
}

/// <summary>A worker's own account of its memory, in bytes.</summary>
/// <param name="Worker">The worker.</param>
/// <param name="Layers">The layers, as people write them: <c>0-10</c>.</param>
/// <param name="Limit">What stages may take there; the worker refuses more.</param>
/// <param name="Forecast">What they were forecast to take, before loading.</param>
/// <param name="Taken">What they have taken: weights, LM head, KV cache, activations and scratch.</param>
/// <param name="Managed">What objects and buffers of frames take in the runtime.</param>
/// <param name="Resident">What the process holds in all, as the system counts it, the runtime and its code included.</param>
/// <param name="PeakResident">The most it has held.</param>
internal sealed record WorkerAccount(
    string Worker, string Layers, long Limit, long Forecast, long Taken, long Managed, long Resident, long PeakResident)
{
    /// <summary>
    /// The part of <see cref="PeakResident"/> that the limit does not cover: runtime, code, connections, frames. Negative where stages
    /// have not touched all that they have taken.
    /// </summary>
    public long Beside => PeakResident - Taken;
}
