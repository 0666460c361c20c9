using Distributed.Cli.Commands;
using Distributed.Worker;

namespace Distributed.Cli.Bench;

/// <summary>Runs all tests on a model with every number of threads, and measures the limits between the runs.</summary>
/// <param name="model">The model.</param>
/// <param name="options">The tests.</param>
/// <param name="device">The device that the options name.</param>
/// <param name="tell">Told what runs.</param>
/// <param name="cancellation">Gives up between two steps.</param>
internal sealed class BenchRun(BenchModel model, BenchOptions options, Device device, Action<string> tell, CancellationToken cancellation)
{
    private readonly ModelWork _work = new(model.Model, options.KvType, options.Batch);
    private readonly List<BenchRow> _rows = [];

    /// <summary>Runs them.</summary>
    public async Task<IReadOnlyList<BenchRow>> RunAsync()
    {
        tell("preparing to measure limits");
        using var meter = LimitMeter.For(device);
        foreach (var threads in options.Threads)
        {
            tell($"loading{With(threads)}");
            var free = meter.FreeDeviceMemory;
            await using var target = await StartAsync(threads);
            var taken = options.Workers == 0 ? free - meter.FreeDeviceMemory : null;
            var runner = new BenchRunner(target, cancellation);
            foreach (var test in options.Tests)
            {
                tell($"{test}{With(threads)}");
                await RunAsync(test, threads, target, runner, meter, taken);
            }
        }
        return _rows;
    }

    private async Task RunAsync(
        BenchTest test, int threads, BenchTarget target, BenchRunner runner, LimitMeter meter, long? deviceTaken)
    {
        var limits = new List<Limits>();
        var seconds = await runner.RunAsync(test, options.Repeats, between: () => limits.Add(meter.Measure(LimitThreads(test, threads), _work.IsFloat)));
        var hops = target.TakeHops(test).Select(hop => hop with { RawUs = RawHop.MedianUs(hop.Bytes) }).ToList();
        var taken = target.Memory;
        var memory = new BenchMemory(
            taken.Weights + taken.LmHead, taken.KvCache, taken.Activations + taken.Scratch, target.Forecast,
            target.PeakResident() - (options.Workers == 0 ? meter.HostBytes : 0))
        { DeviceTaken = deviceTaken, Workers = await target.AccountAsync(cancellation) };
        var setup = new BenchSetup(
            model.Model.Config.Name, model.Type, options.Batch, threads, options.Workers, options.KvType, device);
        _rows.Add(BenchRow.Of(test, seconds, Limits.Of(limits), _work, setup, memory) with { Hops = hops });
    }

    // A prompt's chunks keep all stages busy, a sequence's tokens one at a time; together they have no more than the machine's cores.
    private int LimitThreads(BenchTest test, int threads)
    {
        var atOnce = test.Kind == TestKind.Prefill ? options.Workers : Math.Min(options.Workers, test.Sequences);
        return atOnce <= 1 ? threads : Math.Max(threads, Math.Min(threads * atOnce, Environment.ProcessorCount));
    }

    private async Task<BenchTarget> StartAsync(int threads) => options.Workers == 0
        ? new InProcessTarget(model.Model, options.Stage(model.Model.Config), LocalDevice.Open(device.Name, threads).CreateBackend(), options.Sequences, cancellation)
        : await PipelineTarget.StartAsync(
            model.Model, options.Cluster(model.Model), options.Workers, threads, options.Device,
            options.WorkerMemory ?? (LocalDevice.Open(device.Name, threads).MemoryLimit / options.Workers), cancellation);

    private static string With(int threads) => threads == 0 ? "" : $" with {threads} threads";
}
