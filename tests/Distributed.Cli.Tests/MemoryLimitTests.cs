using System.Text.Json;
using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>A model that no single worker's memory limit holds.</summary>
public sealed partial class MemoryLimitTests : IDisposable
{
    // The sample model's weights take 5.4 MiB; with steps of 256 tokens it takes 8.6 MiB in one stage.
    private const string Limit = "cpu=5MiB";
    private const string LimitOfLongSteps = "cpu=7MiB";

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Two_workers_run_what_one_refuses_with_the_numbers()
    {
        var alone = await LogitsAsync("alone", "--workers", "1", "--memory", Limit);
        var together = await LogitsAsync("together", "--workers", "2", "--memory", Limit);
        var reference = await LogitsAsync("reference", "--workers", "0");

        Assert.Equal((2, ""), (alone.ExitCode, alone.Out));
        Assert.Matches(
            @"^error: split is auto: .* needs [\d.]+ MiB in one stage \(weights [\d.]+ MiB, KV cache .*\); free are 5 MiB on worker-0/cpu; "
            + @"what would fit: .*another worker, last in the list, with [\d.]+ MiB free$",
            Assert.Single(alone.Errors));
        Assert.False(File.Exists(_folder.Path("alone")));
        Assert.Equal((0, 0), (together.ExitCode, reference.ExitCode));
        Assert.Equal(await File.ReadAllBytesAsync(_folder.Path("reference")), await File.ReadAllBytesAsync(_folder.Path("together")));
    }

    [Fact]
    public async Task Refused_run_loads_nothing_and_what_was_said_to_fit_fits()
    {
        await using var one = await RunningWorker.StartAsync("one", "--memory", LimitOfLongSteps);
        var cluster = _folder.Path("cluster.yaml");
        await File.WriteAllTextAsync(cluster, $$"""
            model: {{Repository.SampleModel}}
            sequences: 1
            workers:
              - { name: one, address: "{{one.Address}}" }
            """);

        var run = await Cli.RunAsync("run", "-c", cluster, "--context", "64", "--temperature", "0", "Hello!");
        var needed = double.Parse(MoreNeeded().Match(Assert.Single(run.Errors)).Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
        // A little more: figures are rounded.
        await using var two = await RunningWorker.StartAsync("two", "--memory", FormattableString.Invariant($"cpu={needed + 0.1}MiB"));
        await File.AppendAllTextAsync(cluster, $"\n  - {{ name: two, address: \"{two.Address}\" }}\n");
        var again = await Cli.RunAsync("run", "-c", cluster, "--context", "64", "--temperature", "0", "Hello!");

        Assert.Equal((2, ""), (run.ExitCode, run.Out));
        Assert.Equal((0, "Hello! Shall I tell you a story?\n"), (again.ExitCode, again.Out));
    }

    [Fact]
    public async Task Bench_has_each_worker_s_account_beside_its_limit()
    {
        var result = await Cli.RunAsync(
            "bench", "-m", Repository.SampleModel, "--workers", "2", "--memory", Limit, "-p", "16", "-n", "2", "-r", "1", "-t", "1", "--json");

        Assert.True(result.ExitCode == 0, result.Error);
        var memory = JsonDocument.Parse(result.Out).RootElement[0].GetProperty("memory");
        JsonElement[] workers = [.. memory.GetProperty("workers").EnumerateArray()];
        Assert.Equal(2, workers.Length);
        Assert.All(workers, worker =>
        {
            var (limit, taken) = (worker.GetProperty("limit").GetInt64(), worker.GetProperty("taken").GetInt64());
            var (resident, peak) = (worker.GetProperty("resident").GetInt64(), worker.GetProperty("peakResident").GetInt64());
            Assert.Equal(5 << 20, limit);
            Assert.InRange(taken, 1, limit);
            Assert.InRange(worker.GetProperty("forecast").GetInt64(), taken * 0.97, taken * 1.03);
            // The runtime and its code are told as well, though no limit covers them.
            Assert.InRange(resident, taken, peak);
            Assert.InRange(worker.GetProperty("managed").GetInt64(), 1, peak);
            Assert.Equal(peak - taken, worker.GetProperty("beside").GetInt64());
        });
        var parts = new[] { "weights", "kvCache", "scratch" }.Sum(part => memory.GetProperty(part).GetInt64());
        Assert.Equal(parts, workers.Sum(worker => worker.GetProperty("taken").GetInt64()));
    }

    [Theory]
    [InlineData("--memory is 7MiB: must be sizes per device with their units, like cpu=8GiB or cpu=512MiB", "run", "--memory", "7MiB")]
    [InlineData("--memory is cuda:0=7MiB: must name cpu alone, with more than 0 bytes, like cpu=400MiB", "plan", "--memory", "cuda:0=7MiB")]
    [InlineData("--memory is cpu=7MiB: needs --workers: it is what stages may take in each", "bench", "--memory", "cpu=7MiB")]
    [InlineData("--memory is cpu=7MiB: needs --workers: it is what stages may take in each", "logits", "--ids", "1", "--out", "x", "--memory", "cpu=7MiB")]
    [InlineData("--memory: cannot stand beside --cluster, whose workers run already", "plan", "-c", "x.yaml", "--memory", "cpu=7MiB")]
    public async Task Wrong_limits_are_refused(string error, params string[] args)
    {
        var result = await Cli.RunAsync(args);

        Assert.Equal(2, result.ExitCode);
        Assert.Equal([$"error: {error}"], result.Errors);
    }

    private Task<CliResult> LogitsAsync(string file, params string[] args) =>
        Cli.RunAsync(["logits", "--ids", "1,2,3", "--context", "64", "--out", _folder.Path(file), .. args]);

    [GeneratedRegex(@"another worker, last in the list, with ([\d.]+) MiB free")]
    private static partial Regex MoreNeeded();
}
