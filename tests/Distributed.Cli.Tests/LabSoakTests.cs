using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class LabSoakTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task No_answer_is_lost_or_other_than_undisturbed_while_something_fails_every_second()
    {
        var path = _folder.Path("soak");
        var result = await Cli.RunAsync("lab", "soak", "--minutes", "0.15", "--interval", "0.7", "--seed", "3", "-n", "60", "-o", path, "--json");

        Assert.True(result.ExitCode == 0, result.Out + result.Error);
        var report = JsonDocument.Parse(result.Out).RootElement;
        int Figure(string name) => report.GetProperty(name).GetInt32();
        Assert.Equal((0, 0), (Figure("lost"), Figure("inexact")));
        Assert.True(Figure("exact") > 0);
        Assert.Equal((Figure("finished"), Figure("started")), (Figure("exact"), Figure("finished") + Figure("cancelled")));
        var faults = report.GetProperty("faults").EnumerateArray().Sum(kind => kind.GetProperty("count").GetInt32());
        Assert.True(faults >= 5);
        var memory = report.GetProperty("memory").EnumerateArray().ToList();
        Assert.Equal(["coordinator", "worker-0", "worker-1", "worker-2"], memory.Select(process => process.GetProperty("process").GetString()));
        Assert.All(memory, process => Assert.True(process.GetProperty("startBytes").GetInt64() > 0 && process.GetProperty("endBytes").GetInt64() > 0));
        var lines = await File.ReadAllLinesAsync(Path.Combine(path, "data.csv"));
        Assert.Equal(("seconds,fault,target,down_ms,streams,gap_ms,done", faults + 1), (lines[0], lines.Length));
        using var setup = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(path, "setup.json")));
        Assert.Equal(("soak", 3), (setup.RootElement.GetProperty("experiment").GetString(), setup.RootElement.GetProperty("settings").GetProperty("seed").GetInt32()));
    }

    [Theory]
    [InlineData("--minutes", "0", "must be more than 0 and at most 10000")]
    [InlineData("--interval", "0", "must be from 0.1 to 3600")]
    [InlineData("--workers", "1", "must be a whole number from 2 to 16")]
    public async Task A_wrong_flag_is_told_before_anything_is_started(string flag, string value, string rule)
    {
        var result = await Cli.RunAsync("lab", "soak", flag, value, "-o", _folder.Path("none"));

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal($"error: {flag} is {value}: {rule}", Assert.Single(result.Errors));
        Assert.False(Directory.Exists(_folder.Path("none")));
    }

    public void Dispose() => _folder.Dispose();
}
