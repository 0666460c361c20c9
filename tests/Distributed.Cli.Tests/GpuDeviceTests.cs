using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>
/// A worker with a graphics card and a processor; ILGPU's CPU device stands for the card. Behind all other tests: its threads wait for each
/// other thousands of times, and take up to ten times as long when they share their processors.
/// </summary>
[CollectionDefinition(nameof(GpuDeviceTests), DisableParallelization = true)]
[Collection(nameof(GpuDeviceTests))]
public sealed partial class GpuDeviceTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Layers_are_split_between_two_devices_of_one_worker()
    {
        await using var worker = Cli.Start(
            "worker", "--name", "desktop", "--listen", "127.0.0.1:0", "--threads", "1", "--devices", "cuda:99,ilgpu-cpu,cpu");
        var address = (await worker.SeeAsync(Listening())).Groups[1].Value;
        var cluster = WriteCluster(address, "1GiB");
        var tooSmall = WriteCluster(address, "4MiB");

        var answer = await Cli.RunAsync("run", "-c", cluster, "--temperature", "0", "Thank you!");
        var refused = await Cli.RunAsync("run", "-c", tooSmall, "--temperature", "0", "Thank you!");

        Assert.Equal((0, "You are welcome.\n"), (answer.ExitCode, answer.Out));
        Assert.Matches(@"0 +desktop +ilgpu-cpu +0-4", answer.Error);
        Assert.Matches(@"1 +desktop +cpu +5-7", answer.Error);
        Assert.Equal((2, ""), (refused.ExitCode, refused.Out));
        Assert.Contains("ilgpu-cpu", Assert.Single(refused.Errors));
        Assert.Contains("4 MiB", refused.Errors[0]);
        await worker.SignalAsync("TERM");
        var left = await worker.FinishAsync();
        Assert.Single(Regex.Matches(left.Error, "cuda:99 is left out: "));
    }

    [Fact]
    public async Task The_cluster_of_a_card_and_a_processor_runs_with_another_device_in_the_cards_place()
    {
        await using var worker = Cli.Start("worker", "--listen", "127.0.0.1:0", "--threads", "1", "--devices", "ilgpu-cpu,cpu");
        var address = (await worker.SeeAsync(Listening())).Groups[1].Value;
        var text = await File.ReadAllTextAsync(Repository.Path("cluster/gpu-plus-cpu.yaml"));
        (string From, string To)[] replaced =
        [
            ("../src/Distributed.Cli/Sample/tales-5m-q8_0.gguf", Repository.SampleModel), ("address: 127.0.0.1:7101", $"address: \"{address}\""),
            ("[cuda:0, cpu]", "[ilgpu-cpu, cpu]"), ("{ cuda:0: 10GiB }", "{ ilgpu-cpu: 5MiB }"),
        ];
        foreach (var (from, to) in replaced)
        {
            Assert.Contains(from, text);
            text = text.Replace(from, to, StringComparison.Ordinal);
        }
        var cluster = _folder.Path("gpu-plus-cpu.yaml");
        await File.WriteAllTextAsync(cluster, text);

        var answer = await Cli.RunAsync("run", "-c", cluster, "--context", "128", "--temperature", "0", "Thank you!");

        Assert.Equal((0, "You are welcome.\n"), (answer.ExitCode, answer.Out));
        Assert.Matches(@"0 +desktop +ilgpu-cpu +0 ", answer.Error);
        Assert.Matches(@"1 +desktop +cpu +1-7", answer.Error);
    }

    [Fact]
    public async Task Bench_times_the_device_in_this_process_beside_what_it_can_do()
    {
        const string Tiny = "layers=1,hidden=256,ffn=256,heads=4,kv=2,vocab=300:q4_0";
        var result = await Cli.RunAsync(
            "bench", "--synthetic", Tiny, "--device", "ilgpu-cpu", "-p", "8", "-n", "2", "-s", "2", "-r", "1", "--json");

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        Assert.Matches(@"\nilgpu-cpu: .* for stages\n", result.Error);
        JsonElement[] rows = [.. JsonDocument.Parse(result.Out).RootElement.EnumerateArray()];
        Assert.Equal(2, rows.Length);
        Assert.All(rows, row =>
        {
            Assert.Equal(("ilgpu-cpu", "CPUAccelerator"), (row.GetProperty("device").GetString(), row.GetProperty("hardware").GetString()));
            Assert.Equal((0, 0), (row.GetProperty("threads").GetInt32(), row.GetProperty("workers").GetInt32()));
            Assert.True(row.GetProperty("limitGBps").GetDouble() > 0.1);
            // No processor multiplies as many as its instructions could through ILGPU, and every one some.
            Assert.InRange(row.GetProperty("limitGops").GetDouble(), 0.001, 500);
            var memory = row.GetProperty("memory");
            Assert.Equal(memory.GetProperty("forecast").GetInt64(), new[] { "weights", "kvCache", "scratch" }.Sum(part => memory.GetProperty(part).GetInt64()));
        });
    }

    [Fact]
    public async Task Workers_of_a_command_compute_on_the_device_that_is_named()
    {
        var answer = await Cli.RunAsync(
            "run", "--device", "ilgpu-cpu", "--workers", "2", "--memory", "ilgpu-cpu=100MiB", "--temperature", "0", "Thank you!");

        Assert.Equal((0, "You are welcome.\n"), (answer.ExitCode, answer.Out));
        Assert.Matches(@"1 +worker-1 +ilgpu-cpu ", answer.Error);
    }

    [Fact]
    public async Task Logits_are_computed_on_the_device_that_is_named()
    {
        var logits = new List<float[]>();
        foreach (var device in new[] { "cpu", "ilgpu-cpu" })
        {
            var file = _folder.Path(device);
            var result = await Cli.RunAsync("logits", "--ids", "1,2,3", "--context", "32", "--out", file, "--device", device);
            Assert.Equal(0, result.ExitCode);
            logits.Add(MemoryMarshal.Cast<byte, float>(await File.ReadAllBytesAsync(file)).ToArray());
        }
        Assert.NotEqual(logits[0], logits[1]);
        Assert.InRange(logits[0].Zip(logits[1], (cpu, device) => Math.Abs(cpu - device)).Max(), 0, 0.5);
    }

    [Fact]
    public async Task Lab_gpu_checks_times_and_splits_in_one_command()
    {
        var folder = _folder.Path("lab");
        var result = await Cli.RunAsync(
            "lab", "gpu", "--device", "ilgpu-cpu", "--out", folder, "--shape", "layers=1,hidden=64,ffn=64,heads=2,kv=1,vocab=300",
            "--types", "q4_0", "--greedy", "2", "-p", "8", "-n", "1", "-r", "1", "-t", "1", "--json");

        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Empty(result.Errors);
        var document = JsonDocument.Parse(result.Out).RootElement;
        Assert.Equal(
            ["logits Q4_0 True", "bits Q4_0 True", "greedy Tales 5M True"],
            document.GetProperty("checks").EnumerateArray().Select(check => $"{check.GetProperty("check")} {check.GetProperty("model")} {check.GetProperty("passed")}"));
        Assert.Equal(
            ["check", "model", "found", "allowed", "passed"],
            document.GetProperty("checks")[0].EnumerateObject().Select(property => property.Name));
        Assert.Equal(4, (await File.ReadAllLinesAsync(Path.Combine(folder, "checks.csv"))).Length);
        var rows = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(folder, "bench.json"))).RootElement;
        Assert.Equal(
            ["Q8_0 decode 1", "Q8_0 prefill 1", "Q8_0 decode 1", "Q8_0 decode 16", "Q4_0 prefill 1", "Q4_0 decode 1", "Q4_0 decode 16"],
            rows.EnumerateArray().Select(row => $"{row.GetProperty("type")} {row.GetProperty("test")} {row.GetProperty("sequences")}"));
        // Of the sample: queries, keys and values in one launch, gate and up in another.
        Assert.Contains(
            document.GetProperty("kernels").EnumerateArray(),
            row => (row.GetProperty("model").GetString(), row.GetProperty("kernel").GetString(), row.GetProperty("launchesPerToken").GetDouble())
                == ("Tales 5M", "Several Q8_0", 2 * 8));
        var kernels = (await File.ReadAllLinesAsync(Path.Combine(folder, "kernels.csv"))).Select(line => line.Split(','));
        Assert.Equal(["kernel", "all", "all", "all"], kernels.Select(cells => cells[^4]).Where(name => name is "kernel" or "all"));
        // No layer on the device, and the only one; the prompt and the answer of each.
        var splits = (await File.ReadAllLinesAsync(Path.Combine(folder, "data.csv")))[1..];
        Assert.Equal(["0,1,decode", "0,1,prefill", "1,0,decode", "1,0,prefill"], splits.Select(line => string.Join(',', line.Split(',')[..3])).Order());
        var devices = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(folder, "setup.json"))).RootElement.GetProperty("devices");
        Assert.Equal(["worker-0 ilgpu-cpu", "worker-0 cpu"], devices.EnumerateArray().Select(device => $"{device.GetProperty("worker")} {device.GetProperty("device")}"));
        Assert.True(File.Exists(Path.Combine(folder, "split.png")));
    }

    [Theory]
    [InlineData("--device: must name a device other than the processor", "lab", "gpu")]
    [InlineData("--types is q9: must be of ", "lab", "gpu", "--device", "ilgpu-cpu", "--types", "q9")]
    [InlineData("--device is cuda:99: must be one of cpu, ", "bench", "--device", "cuda:99")]
    [InlineData("--device is opencl:99: must be one of cpu, ", "run", "--device", "opencl:99", "Hi")]
    [InlineData("--device is cuda: must be one of cpu, cuda:N, opencl:N, ilgpu-cpu", "bench", "--device", "cuda")]
    [InlineData("--threads is 2: cannot stand beside --device ilgpu-cpu, which has none", "bench", "--device", "ilgpu-cpu", "-t", "2")]
    [InlineData("--startup: cannot stand beside --device", "bench", "--device", "ilgpu-cpu", "--startup")]
    [InlineData("--threads: cannot stand beside --list", "worker", "--list", "--threads", "2")]
    [InlineData("--memory is cpu=7MiB: must name ilgpu-cpu alone", "run", "--device", "ilgpu-cpu", "--memory", "cpu=7MiB", "Hi")]
    public async Task Wrong_devices_are_refused(string error, params string[] args)
    {
        var result = await Cli.RunAsync(args);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.StartsWith($"error: {error}", Assert.Single(result.Errors));
    }

    [Theory]
    [InlineData("worker", "--devices", "cuda:99")]
    [InlineData("bench", "--device", "cuda:99")]
    [InlineData("lab", "gpu", "--device", "cuda:99")]
    public async Task A_device_that_is_refused_is_named_once_with_the_reason(params string[] args)
    {
        var result = await Cli.RunAsync(args);

        var error = Assert.Single(result.Errors);
        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Single(Regex.Matches(error, "cuda:99"));
        Assert.DoesNotContain("left out", error);
        // A machine that has cards lists them.
        Assert.Matches("there is no cuda device on this machine$|no cuda device can be used: .|cuda:0 ", error);
    }

    [Fact]
    public async Task Devices_of_the_machine_are_listed_with_their_memory()
    {
        var table = await Cli.RunAsync("worker", "--list");
        var json = await Cli.RunAsync("worker", "--list", "--json");

        Assert.Equal((0, 0), (table.ExitCode, json.ExitCode));
        Assert.Matches(@"device +hardware +compute capability +memory +free", table.Out);
        Assert.Matches(@"\ncpu +\S.*GiB", table.Out);
        using var devices = JsonDocument.Parse(json.Out);
        foreach (var device in devices.RootElement.EnumerateArray())
            Assert.True(device.GetProperty("memory").GetInt64() > 0);
        // What is not there is said why.
        foreach (var kind in (string[])["cuda", "opencl"])
            Assert.Contains(kind, $"{table.Out}{table.Error}");
    }

    [Fact]
    public async Task Reference_logits_that_are_not_there_are_refused_before_anything_is_done()
    {
        var folder = _folder.Path("none");
        var result = await Cli.RunAsync("lab", "gpu", "--device", "ilgpu-cpu", "--golden", "/nonexist", "--out", folder);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.StartsWith("error: --golden is /nonexist: must be a folder with reference logits", Assert.Single(result.Errors));
        Assert.False(Directory.Exists(folder));
    }

    [Fact]
    public async Task Devices_that_are_not_there_are_refused_by_name()
    {
        var none = await Cli.RunAsync("worker", "--devices", "gpu,cuda,cpu:0");

        Assert.Equal((2, ""), (none.ExitCode, none.Out));
        Assert.Equal(3, none.Errors.Count);
        Assert.All(none.Errors, error => Assert.Contains("must be one of cpu, cuda:N, opencl:N, ilgpu-cpu", error));
    }

    public void Dispose() => _folder.Dispose();

    private string WriteCluster(string address, string memory)
    {
        var path = _folder.Path($"{memory}.yaml");
        File.WriteAllText(path, $$"""
            model: {{Repository.SampleModel}}
            workers:
              - { name: desktop, address: "{{address}}", devices: [ilgpu-cpu, cpu], memory: { ilgpu-cpu: {{memory}} } }
            split:
              - { worker: desktop, device: ilgpu-cpu, layers: 0-4 }
              - { worker: desktop, device: cpu, layers: 5-7 }
            """);
        return path;
    }

    [GeneratedRegex(@" listens on (127\.0\.0\.1:\d+)\n")]
    private static partial Regex Listening();
}
