using Distributed.Cpu;
using Distributed.Worker;

namespace Distributed.Cli.Bench;

/// <summary>Runs all tests on a model with every number of threads, and measures the limits between the runs.</summary>
/// <param name="model">The model.</param>
/// <param name="options">The tests.</param>
/// <param name="tell">Told what runs.</param>
/// <param name="cancellation">Gives up between two steps.</param>
internal sealed class BenchRun(BenchModel model, BenchOptions options, Action<string> tell, CancellationToken cancellation)
{
    private readonly ModelWork _work = new(model.Model, options.KvType, options.Batch);
    private readonly List<BenchRow> _rows = [];

    /// <summary>Runs them.</summary>
    public async Task<IReadOnlyList<BenchRow>> RunAsync()
    {
        tell("preparing to measure limits");
        using var rates = new PeakRates(PeakRates.DefaultBufferBytes);
        foreach (var threads in options.Threads)
        {
            tell($"loading with {threads} threads");
            await using var target = await StartAsync(threads);
            using var limitThreads = new CpuThreads(threads);
            var runner = new BenchRunner(target, cancellation);
            foreach (var test in options.Tests)
            {
                tell($"{test}, {threads} threads");
                await RunAsync(test, threads, target, runner, () => Limits.Measure(rates, limitThreads, _work.IsFloat), rates.BufferBytes);
            }
        }
        return _rows;
    }

    private async Task RunAsync(
        BenchTest test, int threads, BenchTarget target, BenchRunner runner, Func<Limits> measure, long limitBytes)
    {
        var limits = new List<Limits>();
        var seconds = await runner.RunAsync(test, options.Repeats, between: () => limits.Add(measure()));
        var hops = target.TakeHops();
        var taken = target.Memory;
        var memory = new BenchMemory(
            taken.Weights + taken.LmHead, taken.KvCache, taken.Activations + taken.Scratch, target.Forecast,
            target.PeakResident() - (options.Workers == 0 ? limitBytes : 0))
        { Workers = await target.AccountAsync(cancellation) };
        var setup = new BenchSetup(
            model.Model.Config.Name, model.Type, options.Batch, threads, options.Workers, options.KvType);
        _rows.Add(BenchRow.Of(test, seconds, Limits.Of(limits), _work, setup, memory) with { Hops = hops });
    }

    private async Task<BenchTarget> StartAsync(int threads) => options.Workers == 0
        ? new InProcessTarget(model.Model, options.Stage(model.Model.Config), threads, options.Sequences, cancellation)
        : await PipelineTarget.StartAsync(
            model.Model, options.Cluster(model.Model), options.Workers, threads, options.WorkerMemory ?? (HostMachine.UsableMemory() / options.Workers), cancellation);
}
