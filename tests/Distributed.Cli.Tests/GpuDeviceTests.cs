using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>A worker with a graphics card and a processor; ILGPU's CPU device stands for the card.</summary>
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
