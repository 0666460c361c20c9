using System.Text.Json;
using Distributed.Core.Gguf;
using Distributed.Core.Quantization;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>The sample model as a folder from Hugging Face, beside the same as one file.</summary>
public sealed class HuggingFaceTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly string _file;
    private readonly string _model;

    public HuggingFaceTests()
    {
        _file = _folder.Path("tales.gguf");
        _model = _folder.Path("Tales-1.5");
        Directory.CreateDirectory(_model);
        HuggingFaceWriter.Round(Repository.SampleModel, _file, BF16.Type);
        HuggingFaceWriter.Write(_file, _model, "llama", BF16.Type, shards: 2);
        using var gguf = GgufFile.Open(_file);
        TokenizerJsonWriter.Write(gguf.ReadVocabulary(), _model);
        File.WriteAllText(Path.Combine(_model, "chat_template.jinja"), gguf.ChatTemplate);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Logits_are_those_of_the_file_in_process_and_on_workers()
    {
        var reference = await LogitsAsync(_file);

        Assert.Equal(reference, await LogitsAsync(_model));
        Assert.Equal(reference, await LogitsAsync(_model, "--workers", "2", "--step"));
    }

    [Fact]
    public async Task Answers_and_ids_are_those_of_the_file()
    {
        var expected = await Cli.RunAsync("run", "-m", _file, "--workers", "1", "--temperature", "0", "-n", "16", "Tell me a story about a fox.");
        var answer = await Cli.RunAsync("run", "-m", _model, "--workers", "1", "--temperature", "0", "-n", "16", "Tell me a story about a fox.");

        Assert.Equal((0, expected.Out), (answer.ExitCode, answer.Out));
        var ids = await Cli.RunAsync("tokenize", "-m", _model, "--special", "<|im_start|>Hello, fox 42!<|im_end|>");
        Assert.Equal((await Cli.RunAsync("tokenize", "--special", "<|im_start|>Hello, fox 42!<|im_end|>")).Out, ids.Out);
    }

    [Fact]
    public async Task Inspect_and_plan_take_the_folder()
    {
        var result = await Cli.RunAsync("inspect", _model, "--json", "--tensors");

        Assert.Equal(0, result.ExitCode);
        var report = JsonDocument.Parse(result.Out).RootElement;
        Assert.Equal(("Hugging Face safetensors", 2), (report.GetProperty("format").GetString(), report.GetProperty("shards").GetInt32()));
        Assert.Equal("Tales-1.5", report.GetProperty("model").GetProperty("name").GetString());
        Assert.Equal(8, report.GetProperty("model").GetProperty("numLayers").GetInt32());
        Assert.Equal(256, report.GetProperty("metadata").GetProperty("hidden_size").GetInt32());
        Assert.Equal(74, report.GetProperty("tensors").GetArrayLength());
        var table = await Cli.RunAsync("inspect", _model);
        Assert.Matches("format +Hugging Face safetensors, .* in 2 files", table.Out);
        Assert.Matches("hidden_size +256", table.Out);
        Assert.Equal(0, (await Cli.RunAsync("plan", "-m", _model)).ExitCode);
    }

    [Fact]
    public async Task A_folder_that_cannot_run_is_shown_and_then_refused()
    {
        var config = Path.Combine(_model, "config.json");
        await File.WriteAllTextAsync(config, (await File.ReadAllTextAsync(config)).Replace("\"llama\"", "\"mamba\"", StringComparison.Ordinal));

        var result = await Cli.RunAsync("inspect", _model);

        Assert.Equal(2, result.ExitCode);
        Assert.Matches("model_type +mamba", result.Out);
        Assert.StartsWith($"error: {config}: model_type is mamba: must be one of llama, mistral", Assert.Single(result.Errors));
    }

    private async Task<byte[]> LogitsAsync(string model, params string[] args)
    {
        var path = _folder.Path("logits");
        var result = await Cli.RunAsync(["logits", "-m", model, "--ids", "1,357,12,700,3,44", "--out", path, .. args]);
        Assert.True(result.ExitCode == 0, result.Error);
        return await File.ReadAllBytesAsync(path);
    }
}
