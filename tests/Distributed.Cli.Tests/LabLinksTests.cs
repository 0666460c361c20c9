using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class LabLinksTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Every_link_between_neighbours_is_timed_and_kept_in_a_folder()
    {
        var path = _folder.Path("links");
        var result = await Cli.RunAsync("lab", "links", "--workers", "3", "-t", "1", "-r", "10", "--wire", "f16", "-o", path, "--json");

        Assert.Equal(0, result.ExitCode);
        JsonElement[] rows = [.. JsonDocument.Parse(result.Out).RootElement.EnumerateArray()];
        Assert.Equal(
            ["worker-0 worker-1", "worker-1 worker-2"], rows.Select(row => $"{row.GetProperty("from").GetString()} {row.GetProperty("to").GetString()}"));
        Assert.All(rows, row =>
        {
            Assert.Equal((512, 2 << 20), (row.GetProperty("stepBytes").GetInt32(), row.GetProperty("chunkBytes").GetInt32()));
            foreach (var figure in (string[])["roundTripUs", "rawRoundTripUs", "chunkGBps", "rawChunkGBps"])
                Assert.True(row.GetProperty(figure).GetDouble() > 0, figure);
        });
        var lines = await File.ReadAllLinesAsync(Path.Combine(path, "data.csv"));
        Assert.Equal("from,to,link,what,transport,bytes,round,ns", lines[0]);
        Assert.Equal(2 * ((2 * 10) + (2 * 1)), lines.Length - 1);
        using var setup = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(path, "setup.json")));
        Assert.Equal("links", setup.RootElement.GetProperty("experiment").GetString());
        Assert.Equal(3, setup.RootElement.GetProperty("workers").GetArrayLength());
    }

    [Fact]
    public async Task A_shaped_link_has_no_plain_socket_beside_it()
    {
        var result = await Cli.RunAsync("lab", "links", "--workers", "2", "-t", "1", "-r", "2", "--link", "delay=5ms", "--json");

        Assert.Equal(0, result.ExitCode);
        var row = JsonDocument.Parse(result.Out).RootElement[0];
        Assert.True(row.GetProperty("roundTripUs").GetDouble() >= 10_000);
        Assert.Equal(JsonValueKind.Null, row.GetProperty("rawRoundTripUs").ValueKind);
        Assert.Contains("only between workers of one machine", result.Error, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();
}
