using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>Commands with a cluster file, whose workers the test starts as a user would.</summary>
public sealed class ClusterTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Run_plan_and_logits_use_the_workers_of_a_cluster_file_and_leave_them_running()
    {
        await using var one = await RunningWorker.StartAsync("one");
        await using var two = await RunningWorker.StartAsync("two", "--memory", "cpu=1GiB");
        var cluster = WriteCluster(one.Address, two.Address);

        var plan = await Cli.RunAsync("plan", "-c", cluster, "--json");
        var first = await Cli.RunAsync("run", "-c", cluster, "--temperature", "0", "Thank you!");
        var second = await Cli.RunAsync("run", "-c", cluster, "--temperature", "0", "--context", "64", "--kv-type", "f32", "Hello!");
        var logits = await Cli.RunAsync("logits", "-c", cluster, "--ids", "1,2,3", "--out", _folder.Path("cluster"));
        var reference = await Cli.RunAsync("logits", "--ids", "1,2,3", "--out", _folder.Path("here"));

        Assert.Equal((0, ""), (plan.ExitCode, plan.Error));
        var stages = JsonDocument.Parse(plan.Out).RootElement.GetProperty("stages").EnumerateArray().ToList();
        Assert.Equal(["one", "two"], stages.Select(stage => stage.GetProperty("worker").GetString()));
        Assert.Equal((0, 5), (Layer(stages[0], "firstLayer"), Layer(stages[0], "endLayer")));
        Assert.Equal((5, 8), (Layer(stages[1], "firstLayer"), Layer(stages[1], "endLayer")));
        Assert.Equal(1L << 30, stages[1].GetProperty("limit").GetInt64());
        Assert.Equal((0, "You are welcome.\n"), (first.ExitCode, first.Out));
        Assert.Equal((0, "Hello! Shall I tell you a story?\n"), (second.ExitCode, second.Out));
        Assert.Equal((0, 0), (logits.ExitCode, reference.ExitCode));
        Assert.Equal(await File.ReadAllBytesAsync(_folder.Path("here")), await File.ReadAllBytesAsync(_folder.Path("cluster")));
    }

    [Fact]
    public async Task Worker_stops_cleanly_on_SIGTERM_and_with_130_on_Ctrl_C()
    {
        await using var one = await RunningWorker.StartAsUserAsync("127.0.0.1:0", "one");
        await using var two = await RunningWorker.StartAsUserAsync("127.0.0.1:0", "two");

        await one.Cli.SignalAsync("TERM");
        await two.Cli.SignalAsync("INT");

        Assert.Equal(0, (await one.Cli.FinishAsync()).ExitCode);
        Assert.Equal(130, (await two.Cli.FinishAsync()).ExitCode);
    }

    [Fact]
    public async Task Worker_that_does_not_answer_is_named_and_exits_with_1()
    {
        var cluster = WriteCluster("127.0.0.1:1", "127.0.0.1:2");

        var result = await Cli.RunAsync("run", "-c", cluster, "Hello!");

        Assert.Equal((1, ""), (result.ExitCode, result.Out));
        Assert.Contains("127.0.0.1:1", Assert.Single(result.Errors));
    }

    [Fact]
    public async Task Address_a_worker_cannot_listen_on_is_told_in_one_line()
    {
        await using var one = await RunningWorker.StartAsync("one");

        var taken = await Cli.RunAsync("worker", "--listen", one.Address);
        var folder = await Cli.RunAsync("worker", "--listen", $"unix:{_folder.Path("none/socket")}");

        Assert.Equal((1, 1), (taken.ExitCode, folder.ExitCode));
        Assert.Single(taken.Error.TrimEnd('\n').Split('\n'));
        Assert.Contains(one.Address, taken.Error);
        Assert.Single(folder.Error.TrimEnd('\n').Split('\n'));
        Assert.Contains("none/socket cannot be listened on", folder.Error);
    }

    [Fact]
    public async Task All_errors_of_a_cluster_file_are_listed_with_their_lines()
    {
        var path = _folder.Path("cluster.yaml");
        await File.WriteAllTextAsync(path, "model: m.gguf\ncontext: none\nworkerz: []\nworkers:\n  - name: a\n    address: nowhere\n");

        var result = await Cli.RunAsync("plan", "-c", path);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal(3, result.Errors.Count);
        Assert.Contains($"{path}:2: context is none", result.Errors[0]);
        Assert.Contains($"{path}:3: workerz", result.Errors[1]);
        Assert.Contains($"{path}:6: workers[0].address is nowhere", result.Errors[2]);
    }

    [Fact]
    public async Task Plan_without_a_cluster_file_starts_nothing_and_forecasts_every_part()
    {
        var result = await Cli.RunAsync("plan", "--workers", "2");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        var lines = result.Out.TrimEnd('\n').Split('\n');
        Assert.Matches(@"^stage +worker +device +layers +weights +LM head +KV cache +activations +scratch +total +limit +free after *$", lines[0]);
        Assert.Matches(@"^ +1 +worker-1 +cpu +4-7 ", lines[2]);
        Assert.Equal("", lines[3]);
        Assert.Matches(@"^stage +worker +decode: compute +hop to it +prefill: compute +hops to it *$", lines[4]);
        Assert.Matches(@"^ +0 +worker-0 +[\d.]+ ms +[\d.]+ ms +[\d.]+ ms +[\d.]+ ms *$", lines[5]);
        Assert.Matches(@"^ +back to the coordinator +[\d.]+ ms +[\d.]+ ms *$", lines[7]);
        Assert.Matches(@"^decode [\d.]+ ms/token with 1 sequence of 256 tokens · prefill of 256 tokens [\d.]+ ms · ", lines[8]);
        Assert.StartsWith("next best: ", lines[9]);
        Assert.Equal("", lines[10]);
        Assert.Matches(@"^from +to +round trip +GB/s *$", lines[11]);
        Assert.Equal(
            ["worker-0>worker-1", "worker-0>coordinator", "worker-1>worker-0", "worker-1>coordinator", "coordinator>worker-0", "coordinator>worker-1"],
            lines.Skip(12).Select(line => string.Join('>', line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Take(2))));
    }

    [Fact]
    public async Task Devices_that_a_plan_leaves_out_are_named_with_the_reason()
    {
        var result = await Cli.RunAsync("plan", "--workers", "9");

        Assert.Equal(0, result.ExitCode);
        Assert.Equal("warning: worker-8 cpu is not used: there are 9 devices for 8 layers\n", result.Error);
    }

    [Fact]
    public async Task Missing_cluster_file_is_refused()
    {
        var result = await Cli.RunAsync("run", "-c", _folder.Path("none.yaml"), "Hello!");

        Assert.Equal(2, result.ExitCode);
        Assert.Contains("none.yaml", Assert.Single(result.Errors));
    }

    public void Dispose() => _folder.Dispose();

    private string WriteCluster(string one, string two)
    {
        var path = _folder.Path("cluster.yaml");
        File.WriteAllText(path, $$"""
            model: {{Repository.SampleModel}}
            workers:
              - { name: one, address: "{{one}}" }
              - { name: two, address: "{{two}}" }
            split:
              - { worker: one, layers: 0-4 }
              - { worker: two, layers: 5-7 }
            """);
        return path;
    }

    private static int Layer(JsonElement stage, string name) => stage.GetProperty(name).GetInt32();
}
