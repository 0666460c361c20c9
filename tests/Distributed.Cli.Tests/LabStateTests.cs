using System.Text.Json;

namespace Distributed.Cli.Tests;

public sealed class LabStateTests
{
    [Fact]
    public async Task Answers_with_and_without_a_file_are_timed_in_pairs()
    {
        var result = await Cli.RunAsync("lab", "state", "--workers", "1", "-t", "1", "-n", "20", "-r", "3", "--json");

        Assert.Equal(0, result.ExitCode);
        var cost = JsonDocument.Parse(result.Out).RootElement;
        Assert.Equal((3, 19), (cost.GetProperty("pairs").GetInt32(), cost.GetProperty("tokens").GetInt32()));
        foreach (var figure in (string[])["sqliteMs", "memoryMs", "ratio", "sqliteCpuUs", "memoryCpuUs"])
            Assert.True(cost.GetProperty(figure).GetDouble() > 0, figure);
    }

    [Fact]
    public async Task Answers_longer_than_the_context_are_refused()
    {
        var result = await Cli.RunAsync("lab", "state", "-n", "4000");

        Assert.Equal(2, result.ExitCode);
        Assert.Equal(["error: --decode is 4000: must be at most 504, for which the context has room"], result.Errors);
    }
}
