using System.Text.Json;
using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class BenchTests : IDisposable
{
    private const string Tiny = "layers=2,hidden=64,ffn=128,heads=2,kv=1,vocab=512:q8_0";

    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Rows_have_the_figures_of_the_shape_each_beside_its_limit()
    {
        var result = await Cli.RunAsync(
            "bench", "--synthetic", Tiny, "-p", "40", "-n", "4", "-s", "1,8", "-t", "1,2", "-r", "2", "--batch", "16", "--json");

        Assert.Equal(0, result.ExitCode);
        Assert.Empty(result.Errors);
        JsonElement[] rows = [.. JsonDocument.Parse(result.Out).RootElement.EnumerateArray()];
        Assert.Equal(
            ["prefill 40 1 1", "decode 4 1 1", "decode 4 8 1", "prefill 40 1 2", "decode 4 1 2", "decode 4 8 2"],
            rows.Select(row => $"{Text(row, "test")} {Figure(row, "tokens")} {Figure(row, "sequences")} {Figure(row, "threads")}"));
        Assert.All(rows, row =>
        {
            Assert.Equal(("cpu", "Q8_0", 0, 2), (Text(row, "device"), Text(row, "type"), Figure(row, "workers"), Figure(row, "repeats")));
            var (rate, bytes) = (Figure(row, "tokensPerSecond"), Figure(row, "bytesPerToken"));
            Assert.InRange(rate, Figure(row, "min"), Figure(row, "max"));
            Assert.True(Figure(row, "stdev") >= 0 && Figure(row, "min") > 0);
            Assert.Equal(bytes * rate / 1e9, Figure(row, "bandwidthGBps"), 1e-9);
            Assert.Equal(1000 * Figure(row, "sequences") / rate, Figure(row, "msPerToken"), 1e-6);
            Assert.True(Figure(row, "limitGBps") > 0.1 && Figure(row, "limitGops") > 1);
            Assert.InRange(Figure(row, "percentOfLimit"), 0, 100);
        });

        // Values of a layer's matrices: q and output, k and v, the feed-forward network; 34 bytes for 32, and two norms.
        const int Layer = (2 * 64 * 64) + (2 * 64 * 32) + (3 * 64 * 128);
        const int LayerBytes = (Layer / 32 * 34) + (2 * 64 * 4);
        const int HeadBytes = (64 * 512 / 32 * 34) + (64 * 4);
        // A key and its value: 32 halves each, in two layers.
        const int KvBytes = 2 * 32 * 2 * 2;
        // Prefill: three steps, the last with the head, behind which 16, 32 and 40 keys are read. On average 20.5 keys are seen.
        Assert.Equal(((3.0 * 2 * LayerBytes) + HeadBytes + ((16 + 32 + 40) * KvBytes)) / 40, Figure(rows[0], "bytesPerToken"));
        Assert.Equal(2 * ((2.0 * Layer) + (64 * 512 / 40.0) + (20.5 * 2 * 64 * 2)), Figure(rows[0], "operationsPerToken"), 1e-6);
        // Decode: 1 to 4 keys; eight sequences share the weights, each has its own keys.
        Assert.Equal((2.0 * LayerBytes) + HeadBytes + (2.5 * KvBytes), Figure(rows[1], "bytesPerToken"));
        Assert.Equal((((2.0 * LayerBytes) + HeadBytes) / 8) + (2.5 * KvBytes), Figure(rows[2], "bytesPerToken"));
        Assert.Equal(2 * ((2.0 * Layer) + (64 * 512) + (2.5 * 2 * 64 * 2)), Figure(rows[1], "operationsPerToken"), 1e-6);
    }

    [Fact]
    public async Task Only_the_experts_used_are_counted()
    {
        const string Shape = "layers=1,hidden=64,ffn=64,heads=2,kv=2,vocab=260,experts=4,per-token=1:f32";
        var result = await Cli.RunAsync("bench", "--synthetic", Shape, "-p", "0", "-n", "1", "-s", "1,2", "-t", "1", "-r", "1", "--json");

        JsonElement[] rows = [.. JsonDocument.Parse(result.Out).RootElement.EnumerateArray()];
        const int Shared = 4 * ((4 * 64 * 64) + (64 * 4) + (2 * 64) + (64 * 260) + 64);
        const int Expert = 4 * 3 * 64 * 64;
        const int Kv = 2 * 64 * 2;
        Assert.Equal(Shared + Expert + Kv, Figure(rows[0], "bytesPerToken"));
        // Two tokens meet in an expert with a chance of 1/4.
        Assert.Equal(((Shared + (1.75 * Expert)) / 2) + Kv, Figure(rows[1], "bytesPerToken"));
    }

    [Fact]
    public async Task Memory_taken_is_the_memory_forecast()
    {
        var result = await Cli.RunAsync("bench", "-n", "2", "-p", "8", "-d", "5", "-t", "1", "-r", "1", "--json");

        var row = JsonDocument.Parse(result.Out).RootElement[0];
        var memory = row.GetProperty("memory");
        Assert.Equal(("Tales 5M", "Q8_0", 5), (Text(row, "model"), Text(row, "type"), Figure(row, "depth")));
        Assert.Equal(Figure(memory, "forecast"), Figure(memory, "weights") + Figure(memory, "kvCache") + Figure(memory, "scratch"));
        // What limits are measured with, 1 GiB and more, is not the model's.
        Assert.InRange(Figure(memory, "peakResident"), Figure(memory, "weights"), 600 << 20);
        Assert.NotEmpty(row.GetProperty("machine").GetProperty("cpu").GetString()!);
    }

    [Fact]
    public async Task Workers_are_timed_with_random_weights_too_and_leave_no_file()
    {
        await using var cli = Cli.StartWith(
            [$"TMPDIR={_folder.Root}"],
            "bench", "--synthetic", Tiny, "-p", "40", "-n", "2", "-s", "2", "-d", "20", "-t", "1", "-r", "1", "--batch", "16", "--workers", "2", "--json");
        var result = await cli.FinishAsync();

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        Assert.Equal([2.0, 2.0], JsonDocument.Parse(result.Out).RootElement.EnumerateArray().Select(row => Figure(row, "workers")));
        Assert.Empty(Directory.GetFiles(_folder.Root, "distributed-bench-*"));
    }

    [Fact]
    public async Task Saved_weights_are_a_model_like_any_other()
    {
        var (file, logits) = (_folder.Path("tiny.gguf"), _folder.Path("logits"));
        var saved = await Cli.RunAsync("bench", "--synthetic", Tiny, "--save", file);
        Assert.Equal((0, ""), (saved.ExitCode, saved.Out));

        var ids = await Cli.RunAsync("tokenize", "-m", file, "Hi");
        Assert.Equal(0, ids.ExitCode);
        await Cli.RunAsync("logits", "-m", file, "--ids", "1,300,511", "--out", logits);
        var values = new float[3 * 512];
        Buffer.BlockCopy(await File.ReadAllBytesAsync(logits), 0, values, 0, values.Length * sizeof(float));
        Assert.InRange(Math.Sqrt(values.Average(value => value * value)), 0.3, 3);
    }

    [Fact]
    public async Task Startup_is_set_beside_reading_the_file()
    {
        var result = await Cli.RunAsync("bench", "--startup", "-t", "1", "-r", "1", "--json");

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        var row = JsonDocument.Parse(result.Out).RootElement[0];
        var parts = row.GetProperty("parts");
        Assert.Equal("startup", Text(row, "test"));
        Assert.Equal(Figure(row, "openToTokenMs"), Figure(parts, "open") + Figure(parts, "load") + Figure(parts, "token"), 1e-6);
        Assert.Equal(Figure(row, "openToTokenMs") / Figure(row, "readMs"), Figure(row, "timesRead"), 1e-6);
    }

    [Fact]
    public async Task Table_names_the_machine_on_stderr()
    {
        var result = await Cli.RunAsync("bench", "-p", "8", "-n", "0", "-t", "1", "-r", "1");

        Assert.Equal(0, result.ExitCode);
        Assert.Matches(new Regex(@"\d+ cores, .*\.NET 10", RegexOptions.None), result.Error);
        Assert.Matches(@"prefill +8 +0 +1 +1 +[\d.]+", result.Out);
        Assert.DoesNotContain('\e', result.Out);
    }

    [Fact]
    public async Task Ctrl_C_ends_it()
    {
        await using var cli = Cli.Start("bench", "--synthetic", Tiny, "-n", "100000", "-r", "1000");
        await cli.SeeErrorAsync(new Regex("cores"));

        await cli.SignalAsync("INT");
        var result = await cli.FinishAsync();

        Assert.Equal((130, "", 0), (result.ExitCode, result.Out, result.Errors.Count));
    }

    [Theory]
    [InlineData("--synthetic is tiny: must be one of llama-1b, ", "tiny:q4_0")]
    [InlineData("--synthetic is llama-1b: must be SHAPE:TYPE, e.g. llama-1b:q4_0", "llama-1b")]
    [InlineData("--synthetic is q9: must be one of F32, F16, ", "llama-1b:q9")]
    [InlineData("--synthetic width is 2: is no key; the keys are layers, ", "layers=1,hidden=64,ffn=64,heads=1,width=2:q8_0")]
    [InlineData("--synthetic layers is 0: must be a whole number from 1 to 1024", "layers=0,hidden=64,ffn=64,heads=1:q8_0")]
    [InlineData("--synthetic heads: is missing; ", "layers=1,hidden=64,ffn=64:q8_0")]
    [InlineData("--synthetic kv is 3: must divide the number of heads, 4", "layers=1,hidden=64,ffn=64,heads=4,kv=3:q8_0")]
    [InlineData("Q4_K needs rows of a multiple of 256 values; those of ", "layers=1,hidden=64,ffn=64,heads=4:q4_k")]
    [InlineData(" of memory are free", "layers=1024,hidden=262144,ffn=262144,heads=1024:f32")]
    public async Task Wrong_weights_are_refused_before_anything_is_made(string error, string weights)
    {
        var result = await Cli.RunAsync("bench", "--synthetic", weights);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Contains(error, Assert.Single(result.Errors));
    }

    [Theory]
    [InlineData("--prefill is 5,x: must be whole numbers from 0 to 1048576, separated by commas", "-p", "5,x")]
    [InlineData("--sequences is 0: must be whole numbers from 1 to 256, separated by commas", "-s", "0")]
    [InlineData("--prefill is 0: leaves nothing to time beside --decode 0", "-p", "0", "-n", "0")]
    [InlineData("--save: needs --synthetic", "--save", "x.gguf")]
    [InlineData("--synthetic: cannot stand beside --model", "--synthetic", "llama-1b:q4_0", "-m", "x.gguf")]
    [InlineData("--batch: cannot stand beside --startup, which times one token of one sequence in a process", "--startup", "-b", "8")]
    [InlineData(
        "--sequences is 2: needs --prefill, --decode or --startup beside --save, which else writes the weights and times nothing",
        "--synthetic", Tiny, "--save", "x.gguf", "-s", "2")]
    [InlineData(
        "--prefill is 600: must be at most 512 with --workers: the context of Tales 5M is 512 tokens", "-p", "600", "-n", "32", "--workers", "1")]
    [InlineData(
        "--decode is 32: must be at most 11 with --workers and --depth 500: the context of Tales 5M is 512 tokens",
        "-p", "8", "-n", "32", "-d", "500", "--workers", "1")]
    public async Task Wrong_usage_is_refused(string error, params string[] args)
    {
        var result = await Cli.RunAsync(["bench", .. args]);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal([$"error: {error}"], result.Errors);
    }

    [Fact]
    public async Task Folder_for_temporary_files_is_named_where_it_cannot_be_written()
    {
        await using var cli = Cli.StartWith([$"TMPDIR={_folder.Path("none")}"], "bench", "--synthetic", Tiny, "--workers", "1");
        var result = await cli.FinishAsync();

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.StartsWith($"error: TMPDIR is {_folder.Path("none")}/", Assert.Single(result.Errors));
    }

    public void Dispose() => _folder.Dispose();

    private static string Text(JsonElement row, string key) => row.GetProperty(key).GetString()!;

    private static double Figure(JsonElement row, string key) => row.GetProperty(key).GetDouble();
}
