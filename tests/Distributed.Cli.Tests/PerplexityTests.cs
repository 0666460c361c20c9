using System.Runtime.InteropServices;
using System.Text.Json;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class PerplexityTests : IDisposable
{
    private const string Tale =
        "Near the garden lived a gentle fox. His name was Zoe. Zoe loved the roses and wanted nothing more than a warm blanket. On the "
        + "way Zoe saw Theo the frog. \"Where are you going?\" asked Theo. \"I want to find a place to share it,\" said Zoe. After a while "
        + "it began to rain, and the two friends ran to a dry cave. When the sun came back, Zoe gave the warm blanket to Theo, and they "
        + "were calm. And so they knew that a kind word can open any door.\n";

    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Figure_is_the_same_in_this_process_and_on_workers_from_a_file_and_from_stdin()
    {
        var path = _folder.Path("tale.txt");
        await File.WriteAllTextAsync(path, Tale);

        var here = await Cli.RunAsync("perplexity", path, "--context", "32", "--json");
        var workers = await Cli.RunAsync(Tale, ["perplexity", "-", "--context", "32", "--workers", "2", "--json", "--chunks", "9"]);
        var table = await Cli.RunAsync("perplexity", path, "--context", "32", "--chunks", "2", "-t", "1");

        Assert.Equal((0, 0, 0), (here.ExitCode, workers.ExitCode, table.ExitCode));
        var report = JsonDocument.Parse(here.Out).RootElement;
        var chunks = report.GetProperty("chunks").GetInt32();
        Assert.InRange(chunks, 3, 9);
        Assert.Equal(chunks * 15, report.GetProperty("scoredTokens").GetInt32());
        foreach (var figure in (string[])["perplexity", "standardError"])
        {
            Assert.Equal(
                report.GetProperty(figure).GetDouble(),
                JsonDocument.Parse(workers.Out).RootElement.GetProperty(figure).GetDouble());
        }

        // The model was trained on such tales: it knows how they go on.
        Assert.InRange(report.GetProperty("perplexity").GetDouble(), 1.1, 4);
        Assert.Equal(Enumerable.Range(1, chunks).Select(chunk => $"chunk {chunk} of {chunks}"), ChunkLines(here));
        Assert.Equal(["chunk 1 of 2", "chunk 2 of 2"], ChunkLines(table));
        Assert.Matches(@"^perplexity \d+\.\d{4} ± \d+\.\d{4}\n$", table.Out);
    }

    [Fact]
    public async Task Figure_is_that_of_the_logits_with_BOS_in_front_of_each_chunk()
    {
        const int Context = 12;
        var model = Golden.Path("architectures/llama.gguf");
        var path = _folder.Path("text.txt");
        await File.WriteAllTextAsync(path, "The quick brown fox jumps over the lazy dog.");

        var result = await Cli.RunAsync("perplexity", path, "-m", model, "--context", $"{Context}", "--chunks", "2", "--json");

        var scores = new List<double>();
        foreach (var chunk in Chunks(model, await File.ReadAllTextAsync(path), Context).Take(2))
        {
            var (ids, vocabulary) = chunk;
            var logits = await LogitsAsync(model, ids);
            for (var i = Context / 2; i < Context - 1; i++)
            {
                var row = logits[(i * vocabulary)..((i + 1) * vocabulary)];
                scores.Add(Math.Log(row.Sum(logit => Math.Exp(logit))) - row[ids[i + 1]]);
            }
        }

        var (mean, square) = (scores.Average(), scores.Average(score => score * score));
        var report = JsonDocument.Parse(result.Out).RootElement;
        Assert.Equal(scores.Count, report.GetProperty("scoredTokens").GetInt32());
        Assert.Equal(Math.Exp(mean), report.GetProperty("perplexity").GetDouble(), 1e-9);
        Assert.Equal(
            Math.Exp(mean) * Math.Sqrt((square - (mean * mean)) / (scores.Count - 1)), report.GetProperty("standardError").GetDouble(), 1e-9);
    }

    [Fact]
    public async Task Text_too_short_and_context_too_long_are_refused()
    {
        var tooShort = await Cli.RunAsync("A fox.", ["perplexity", "-"]);
        var tooLong = await Cli.RunAsync("perplexity", _folder.Path("none.txt"), "--context", "513");
        var missing = await Cli.RunAsync("perplexity", _folder.Path("none.txt"));

        Assert.Equal((2, 2, 2), (tooShort.ExitCode, tooLong.ExitCode, missing.ExitCode));
        Assert.Matches(
            "^error: FILE is [1-9] tokens: must be at least 1024, 2 chunks of 512; a smaller --context takes a shorter text$",
            Assert.Single(tooShort.Errors));
        Assert.StartsWith("error: --context is 513: must be at most 512", Assert.Single(tooLong.Errors));
        Assert.StartsWith($"error: FILE is {_folder.Path("none.txt")}: cannot be read", Assert.Single(missing.Errors));
    }

    [Fact]
    public async Task What_is_no_text_or_has_no_end_is_refused()
    {
        var latin = await Cli.RunAsync("perplexity", _folder.Write("latin.txt", [0x61, 0xE4, 0x62]), "--context", "4");
        var endless = await Cli.RunAsync("perplexity", "/dev/zero");

        Assert.Equal((2, 2), (latin.ExitCode, endless.ExitCode));
        Assert.Equal($"error: FILE is {_folder.Path("latin.txt")}: must be text in UTF-8", Assert.Single(latin.Errors));
        Assert.Equal("error: FILE is /dev/zero: must have at most 268435456 characters", Assert.Single(endless.Errors));
    }

    public void Dispose() => _folder.Dispose();

    private static IEnumerable<string> ChunkLines(CliResult result) =>
        result.Error.Split('\n').Where(line => line.StartsWith("chunk", StringComparison.Ordinal)).Select(line => line.Split(':')[0]);

    private static IEnumerable<(int[] Ids, int Vocabulary)> Chunks(string path, string text, int context)
    {
        using var model = ModelFile.Open(path);
        Assert.True(model.Tokenizer.AddsBos);
        foreach (var chunk in model.Tokenizer.Encode(text, addBosEos: true).Chunk(context))
        {
            chunk[0] = model.Tokenizer.BosId!.Value;
            yield return (chunk, model.Config.VocabSize);
        }
    }

    private async Task<float[]> LogitsAsync(string model, int[] ids)
    {
        var path = _folder.Path("logits");
        var result = await Cli.RunAsync("logits", "-m", model, "--ids", string.Join(',', ids), "--out", path);
        Assert.Equal(0, result.ExitCode);
        return MemoryMarshal.Cast<byte, float>(await File.ReadAllBytesAsync(path)).ToArray();
    }
}
