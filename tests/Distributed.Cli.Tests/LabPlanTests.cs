using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class LabPlanTests : IDisposable
{
    private const string Tiny = "layers=2,hidden=64,ffn=128,heads=2,kv=1,vocab=512:q8_0";
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Forecasts_stand_beside_measurements_in_json_and_in_a_folder()
    {
        var path = _folder.Path("plan");
        var result = await Cli.RunAsync(
            "lab", "plan", "--models", Tiny, "--workers", "1,2", "-t", "1", "-p", "16", "-n", "4", "-r", "1",
            "--link", "none; delay=2ms", "--out", path, "--json");

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        JsonElement[] rows = [.. JsonDocument.Parse(result.Out).RootElement.EnumerateArray()];
        Assert.Equal(
            [(1, ""), (1, "delay=2000us"), (2, ""), (2, "delay=2000us")],
            rows.Select(row => (row.GetProperty("workers").GetInt32(), row.GetProperty("link").GetString()!)));
        Assert.All(rows, row => Assert.Equal((2 * row.GetProperty("workers").GetInt32()) + 1, row.GetProperty("terms").GetArrayLength()));
        Assert.All(rows.Where(row => row.GetProperty("link").GetString() is not ""), row => Assert.True(row.GetProperty("decodeMeasured").GetDouble() > 4));
        Assert.All(rows, row => Assert.All(
            (string[])["decode", "decodeMeasured", "prefill", "prefillMeasured", "memory", "memoryTaken"],
            figure => Assert.True(row.GetProperty(figure).GetDouble() > 0, figure)));
        var lines = await File.ReadAllLinesAsync(Path.Combine(path, "data.csv"));
        Assert.StartsWith("model,workers,threads,link,predicted_decode_ms,decode_ms,", lines[0]);
        Assert.Equal(5, lines.Length);
        using var setup = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(path, "setup.json")));
        Assert.Equal((16, Tiny), (setup.RootElement.GetProperty("prefill").GetInt32(), setup.RootElement.GetProperty("models")[0].GetString()));
    }

    [Fact]
    public async Task Links_are_left_as_they_are_unless_told_otherwise()
    {
        var result = await Cli.RunAsync("lab", "plan", "--models", Tiny, "--workers", "1", "-p", "16", "-n", "4", "-r", "1", "--json");

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        Assert.Equal("", Assert.Single(JsonDocument.Parse(result.Out).RootElement.EnumerateArray()).GetProperty("link").GetString());
    }

    [Fact]
    public async Task All_models_that_do_not_fit_are_told_before_the_first_is_made()
    {
        var path = _folder.Path("plan");
        var result = await Cli.RunAsync(
            "lab", "plan", "--models", $"{Tiny};llama-1b:q4_0;layers=1024,hidden=262144,ffn=262144,heads=1024:f32", "-p", "2000", "-n", "2000",
            "--out", path);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal(2, result.Errors.Count);
        Assert.Equal(
            "error: --prefill is 2000: must fit the context of 2048 tokens of llama-1b:q4_0 together with --decode 2000", result.Errors[0]);
        Assert.Contains(" of memory are free for it", result.Errors[1]);
        Assert.False(Directory.Exists(path));
    }

    public void Dispose() => _folder.Dispose();
}
