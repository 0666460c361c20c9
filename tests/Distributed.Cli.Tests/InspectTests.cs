using System.Diagnostics;
using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class InspectTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Json_is_one_document_with_the_model_and_its_memory()
    {
        var result = await Cli.RunAsync("inspect", Repository.SampleModel, "--json", "--tensors");

        Assert.Equal(0, result.ExitCode);
        Assert.Equal("", result.Error);
        var report = JsonDocument.Parse(result.Out).RootElement;
        Assert.Equal(8, report.GetProperty("model").GetProperty("numLayers").GetInt32());
        Assert.Equal(256, report.GetProperty("model").GetProperty("hiddenSize").GetInt32());
        Assert.Equal(74, report.GetProperty("tensors").GetArrayLength());
        Assert.Equal(1205, report.GetProperty("metadata").GetProperty("tokenizer.ggml.tokens").GetProperty("length").GetInt32());
        Assert.Equal(64, report.GetProperty("hash").GetString()!.Length);
        // 8 layers × (keys + values) × 4 heads × 32 values × 2 bytes
        Assert.Equal(8 * 2 * 4 * 32 * 2, report.GetProperty("memory").GetProperty("kvPerToken").GetInt64());
        var types = report.GetProperty("types").EnumerateArray().Select(type => type.GetProperty("type").GetString());
        Assert.Equal(["F32", "Q8_0"], types.Order());
        Assert.Equal(SumOfBytes(report.GetProperty("tensors")), SumOfBytes(report.GetProperty("types")));
    }

    [Fact]
    public async Task Table_has_no_escape_codes_and_units_written_out()
    {
        var result = await Cli.RunAsync("inspect", Repository.SampleModel);

        Assert.Equal(0, result.ExitCode);
        Assert.DoesNotContain('\e', result.Out);
        Assert.Matches(@"KV cache +2 MiB +f16 for 512 tokens, 4 KiB per token", result.Out);
    }

    [Fact]
    public async Task Kv_type_and_context_change_the_forecast_of_the_cache()
    {
        var result = await Cli.RunAsync("inspect", Repository.SampleModel, "--kv-type", "f32", "--context", "64");

        Assert.Matches(@"KV cache +512 KiB +f32 for 64 tokens, 8 KiB per token", result.Out);
    }

    [Fact]
    public async Task Context_beyond_the_models_own_is_refused()
    {
        var result = await Cli.RunAsync("inspect", Repository.SampleModel, "--context", "513");

        Assert.Equal(2, result.ExitCode);
        Assert.Equal(["error: --context is 513: must be at most 512, the context Tales 5M was trained for"], result.Errors);
    }

    [Fact]
    public async Task Unknown_architecture_is_shown_and_then_refused()
    {
        var path = await WriteAsync(patch: bytes => Replace(bytes, "llama", "lIama"));

        var result = await Cli.RunAsync("inspect", path);

        Assert.Equal(2, result.ExitCode);
        Assert.Matches("general.architecture +lIama", result.Out);
        Assert.Single(result.Errors);
        Assert.Contains("general.architecture is lIama: must be one of llama", result.Errors[0]);
    }

    [Theory]
    [InlineData("truncated")]
    [InlineData("magic")]
    [InlineData("huge count")]
    [InlineData("missing")]
    [InlineData("folder")]
    public async Task Hostile_file_is_refused_with_2_in_a_line_and_quickly(string fault)
    {
        var path = fault switch
        {
            "truncated" => await WriteAsync(bytes => bytes[..5000]),
            "magic" => await WriteAsync(bytes => { bytes[0] = (byte)'X'; return bytes; }),
            "huge count" => await WriteAsync(bytes => { bytes[15] = 0x7F; return bytes; }),
            "folder" => _folder.Root,
            _ => _folder.Path("no-such-model.gguf"),
        };

        string[][] verbs =
        [
            ["inspect", path],
            ["tokenize", "-m", path, "x"],
            ["run", "-m", path, "x"],
            ["serve", "-m", path],
            ["plan", "-m", path],
            ["logits", "-m", path, "--ids", "1", "--out", _folder.Path("logits")],
        ];
        foreach (var verb in verbs)
        {
            var clock = Stopwatch.StartNew();
            var result = await Cli.RunAsync(verb);

            Assert.Equal((verb[0], 2), (verb[0], result.ExitCode));
            Assert.Equal("", result.Out);
            Assert.Single(result.Errors);
            Assert.DoesNotContain("   at ", result.Error);
            Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(10));
        }
    }

    public void Dispose() => _folder.Dispose();

    private static long SumOfBytes(JsonElement items) => items.EnumerateArray().Sum(item => item.GetProperty("bytes").GetInt64());

    private async Task<string> WriteAsync(Func<byte[], byte[]> patch)
    {
        var path = _folder.Path("model.gguf");
        await File.WriteAllBytesAsync(path, patch(await File.ReadAllBytesAsync(Repository.SampleModel)));
        return path;
    }

    private static byte[] Replace(byte[] bytes, string text, string other)
    {
        var at = bytes.AsSpan().IndexOf(System.Text.Encoding.ASCII.GetBytes(text));
        System.Text.Encoding.ASCII.GetBytes(other).CopyTo(bytes.AsSpan(at));
        return bytes;
    }
}
