using System.Globalization;
using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed partial class TraceTests : IDisposable
{
    private const string Story = "Tell me a story about a fox.";
    private static readonly string[] StageParts = ["wire", "deserialize", "queue", "compute", "serialize"];

    private readonly TempFolder _folder = new();

    private string File => _folder.Path("trace.json");

    [Fact]
    public async Task Every_token_has_every_part_of_every_stage_and_they_add_up_to_its_time()
    {
        var result = await Cli.RunAsync("run", "--temperature", "0", "--workers", "3", "-n", "20", "--trace", File, Story);

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        Assert.Contains($"trace of 20 steps: {File}\n", result.Error);
        var trace = Trace.Read(File);
        trace.AssertNested();
        Assert.Equal(["coordinator", "worker-0", "worker-1", "worker-2"], trace.Names("process_name"));
        Assert.Equal((20, 0), (trace.About.GetProperty("steps").GetInt32(), trace.About.GetProperty("stepsNotKept").GetInt32()));
        TraceBar[] tokens = [.. trace.Tokens];
        Assert.Equal(Enumerable.Range(0, 20).Select(i => (long)i), tokens.Select(token => token.Step - tokens[0].Step));
        Assert.Equal("prefill 16 tokens", tokens[0].Name);
        Assert.Equal(Enumerable.Range(16, 19).Select(i => $"token {i}"), tokens.Skip(1).Select(token => token.Name));
        string[] stages = [.. Enumerable.Range(0, 3).SelectMany(stage => StageParts.Select(part => $"{part} {stage}"))];
        foreach (var (index, token) in tokens.Index())
        {
            var parts = trace.Parts(token.Step);
            string[] before = index == 0 ? [] : ["schedule "];
            Assert.Equal(
                [.. before, "queue ", .. stages, "wire ", "deserialize ", "deliver ", "out "], parts.Select(part => $"{part.Name} {part.Stage}"));
            Assert.All(parts.Zip(parts.Skip(1)), pair => Assert.Equal(pair.First.End, pair.Second.Start));
            Assert.InRange(parts.Sum(part => part.Duration), token.Duration * 0.98m, token.Duration * 1.02m);
            if (index > 0)
                Assert.Equal(trace.Parts(tokens[index - 1].Step).Single(part => part.Name == "deliver").End, token.Start);
        }

        // The figure of the last line comes from another clock, read around each step: no less than the steps take without what follows
        // them, no more than all the time from one token to the next.
        var rate = decimal.Parse(DecodeRate().Match(result.Error).Groups[1].Value, CultureInfo.InvariantCulture);
        var decode = tokens.Skip(1).Select(token => trace.Parts(token.Step).ToList()).ToList();
        var least = decode.Average(parts => parts.Where(part => part.Name is not ("schedule" or "out")).Sum(part => part.Duration));
        var most = decode.Average(parts => parts.Sum(part => part.Duration));
        Assert.InRange(1e6m / rate, least * 0.99m, most * 1.01m);
        Assert.DoesNotContain(trace.Bars, bar => bar.Category == "layer");
        Assert.Equal(20 * 5, trace.Events.Count(one => one.TryGetProperty("id", out _)));
    }

    [Fact]
    public async Task Layers_on_request_fill_the_compute_part_of_their_stage()
    {
        var result = await Cli.RunAsync(
            "run", "--temperature", "0", "--workers", "2", "-n", "5", "--trace", File, "--trace-layers", Story);

        Assert.Equal(0, result.ExitCode);
        var trace = Trace.Read(File);
        trace.AssertNested();
        foreach (var compute in trace.Bars.Where(bar => bar.Category == "compute"))
        {
            var layers = trace.Bars.Where(bar => bar.Category == "layer" && bar.Step == compute.Step && bar.Process == compute.Process).ToList();
            string[] expected = compute.Stage == 0
                ? ["embedding", .. Enumerable.Range(0, 4).Select(layer => $"layer {layer}"), "download"]
                : ["upload", .. Enumerable.Range(4, 4).Select(layer => $"layer {layer}"), "head and sampler"];
            Assert.Equal(expected, layers.Select(layer => layer.Name));
            Assert.Equal(compute.Duration, layers.Sum(layer => layer.Duration));
            Assert.All(layers.Skip(1).SkipLast(1), layer => Assert.True(layer.Duration > 0));
        }
    }

    [Fact]
    public async Task Chunks_of_a_prompt_that_are_under_way_at_once_get_rows_of_their_own()
    {
        var cluster = _folder.Path("cluster.yaml");
        await using var one = await RunningWorker.StartAsync("one");
        await using var two = await RunningWorker.StartAsync("two");
        await WriteClusterAsync(cluster, one.Address, two.Address);

        var result = await Cli.RunAsync("run", "-c", cluster, "--temperature", "0", "-n", "3", "--trace", File, Story);

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        var trace = Trace.Read(File);
        trace.AssertNested();
        Assert.Equal(["prefill 4 tokens", "prefill 4 tokens", "prefill 4 tokens", "prefill 4 tokens"], trace.Tokens.Take(4).Select(token => token.Name));
        Assert.True(trace.Names("thread_name").Count(name => name == "tokens") > 1);
        foreach (var stage in trace.Bars.Where(bar => bar.Category == "compute").GroupBy(bar => bar.Stage))
        {
            Assert.Single(stage.Select(bar => bar.Row).Distinct());
            Assert.All(stage.Zip(stage.Skip(1)), pair => Assert.True(pair.First.End <= pair.Second.Start));
        }
    }

    [NetworkFact]
    public async Task Clocks_of_workers_that_may_be_elsewhere_are_compared_and_the_error_is_told()
    {
        var host = NetworkFactAttribute.OwnAddress!;
        var cluster = _folder.Path("cluster.yaml");
        await using var one = await RunningWorker.StartOnAsync(host, "one", "--insecure");
        await using var two = await RunningWorker.StartOnAsync(host, "two", "--insecure");
        await WriteClusterAsync(cluster, one.Address, two.Address);

        var result = await Cli.RunAsync("run", "-c", cluster, "--insecure", "--temperature", "0", "-n", "8", "--trace", File, Story);

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        var trace = Trace.Read(File);
        Assert.All(trace.About.GetProperty("stages").EnumerateArray(), stage =>
        {
            // The same clock in truth, so the error told is an upper bound of the offset found.
            var (offset, error) = (stage.GetProperty("clockOffsetMicroseconds").GetDecimal(), stage.GetProperty("errorMicroseconds").GetDecimal());
            Assert.True(error > 0 && Math.Abs(offset) <= error, $"{offset} µs, {error} µs");
            Assert.True(stage.GetProperty("comparisons").GetInt32() >= 1);
        });
        Assert.All(trace.Tokens, token => Assert.InRange(
            trace.Parts(token.Step).Sum(part => part.Duration), token.Duration * 0.98m, token.Duration * 1.02m));
    }

    [Fact]
    public async Task Interrupted_answer_leaves_a_whole_file()
    {
        await using var cli = Cli.Start("run", "--temperature", "0", "--workers", "2", "--trace", File, Story);
        await cli.SeeAnswerAsync();

        await cli.SignalAsync("INT");
        var result = await cli.FinishAsync();

        Assert.Equal((130, 0), (result.ExitCode, result.Errors.Count));
        Assert.NotEmpty(Trace.Read(File).Tokens);
        Assert.Equal([File], Directory.GetFiles(Path.GetDirectoryName(File)!));
    }

    [Fact]
    public async Task Interrupted_answer_ends_as_one_also_where_its_trace_cannot_be_written()
    {
        var folder = Directory.CreateDirectory(_folder.Path("traces")).FullName;
        await using var cli = Cli.Start(
            "run", "--raw", "--temperature", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "7", "--workers", "2",
            "--trace", Path.Combine(folder, "trace.json"), "Once upon a time");
        await cli.SeeAnswerAsync();

        Directory.Delete(folder, recursive: true);
        await cli.SignalAsync("INT");
        var result = await cli.FinishAsync();

        Assert.Equal(130, result.ExitCode);
        Assert.Empty(result.Errors);
        Assert.Contains("warning: there is no trace: ", result.Error);
    }

    [Fact]
    public async Task File_that_cannot_be_written_is_refused_before_anything_runs()
    {
        var path = _folder.Path("none/trace.json");

        var result = await Cli.RunAsync("run", "--trace", path, Story);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.StartsWith($"error: --trace is {path}: cannot be written: ", Assert.Single(result.Error.TrimEnd('\n').Split('\n')));
    }

    [Fact]
    public async Task Layers_without_a_trace_are_refused()
    {
        var result = await Cli.RunAsync("run", "--trace-layers", Story);

        Assert.Equal(2, result.ExitCode);
        Assert.Equal(["error: --trace-layers: needs --trace"], result.Errors);
    }

    public void Dispose() => _folder.Dispose();

    private static Task WriteClusterAsync(string path, string one, string two) => System.IO.File.WriteAllTextAsync(path, $$"""
        model: {{Repository.SampleModel}}
        max-batch-tokens: 4
        workers:
          - { name: one, address: "{{one}}" }
          - { name: two, address: "{{two}}" }
        split:
          - { worker: one, layers: 0-3 }
          - { worker: two, layers: 4-7 }
        """);

    [GeneratedRegex(@"generated \d+ tokens, ([\d.]+) tok/s")]
    private static partial Regex DecodeRate();
}
