using System.Diagnostics;
using System.Text.Json;
using Distributed.Core.Gguf;
using Distributed.Core.Quantization;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class QuantizeTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Model_of_another_type_is_written_and_told_as_a_table()
    {
        var result = await Cli.RunAsync("quantize", Golden.Path("architectures/llama.gguf"), _folder.Path("out.gguf"), "q8_0");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Matches(@"(?m)^type +tensors +before +after +bits per weight *$", result.Out);
        Assert.Matches(@"(?m)^Q8_0 +23 +\d.* KiB +\d.* KiB +8\.50 *$", result.Out);
        Assert.Matches(@"(?m)^total +30 ", result.Out);
        Assert.Matches(@"out\.gguf: Q8_0 in \d+\.\d s, \d+ MiB/s\n$", result.Out);
        Assert.Equal([_folder.Path("out.gguf")], Directory.GetFiles(_folder.Root));
        using var file = GgufFile.Open(_folder.Path("out.gguf"));
        Assert.Equal(23, file.Tensors.Values.Count(tensor => tensor.Type == Q8_0.Type));
    }

    [Fact]
    public async Task Json_is_one_document_and_force_replaces_a_file()
    {
        var path = _folder.Write("out.gguf", [1, 2, 3]);

        var result = await Cli.RunAsync(
            "quantize", Repository.SampleModel, path, "Q4_K_M", "--allow-requantize", "--force", "--json", "-t", "1");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        var report = JsonDocument.Parse(result.Out).RootElement;
        Assert.Equal("Q4_K_M", report.GetProperty("type").GetString());
        var types = report.GetProperty("tensors").EnumerateArray().ToDictionary(share => share.GetProperty("type").GetString()!);
        Assert.Equal(["F32", "Q4_K", "Q6_K"], types.Keys.Order());
        Assert.Equal(4.5, types["Q4_K"].GetProperty("bitsPerWeight").GetDouble());
        using var file = GgufFile.Open(path);
        Assert.Equal(file.Tensors.Values.Sum(tensor => tensor.Bytes), report.GetProperty("total").GetProperty("bytesAfter").GetInt64());
        Assert.Equal(types["Q6_K"].GetProperty("tensors").GetInt32(), file.Tensors.Values.Count(tensor => tensor.Type == Q6_K.Type));
    }

    [Fact]
    public async Task Everything_that_is_wrong_is_told_before_anything_is_written()
    {
        var path = _folder.Write("out.gguf", [1, 2, 3]);
        var model = Repository.SampleModel;

        var taken = await Cli.RunAsync("quantize", model, path, "Q4_0");
        var unknown = await Cli.RunAsync("quantize", model, model, "Q9", "--force");

        Assert.Equal((2, 2), (taken.ExitCode, unknown.ExitCode));
        Assert.Equal(
            [
                $"error: OUT is {path}: exists already; --force replaces it",
                $"error: IN is {model}: is quantised already (token_embd.weight is Q8_0), and Q4_0 would round it again: "
                    + "take an original in F32, F16 or BF16, or say --allow-requantize",
            ],
            taken.Errors);
        Assert.Equal(
            [$"error: OUT is {model}: must be another file than IN", $"error: TYPE is Q9: {FileType.Rule}"],
            unknown.Errors);
        Assert.Equal([1, 2, 3], await File.ReadAllBytesAsync(path));
        Assert.Single(Directory.GetFiles(_folder.Root));
    }

    [Fact]
    public async Task A_model_whose_name_ends_like_a_file_in_the_making_is_left_as_it_was()
    {
        var model = _folder.Path("out.gguf.partial");
        File.Copy(Golden.Path("architectures/llama.gguf"), model);

        var result = await Cli.RunAsync("quantize", model, _folder.Path("out.gguf"), "Q8_0");

        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(await File.ReadAllBytesAsync(Golden.Path("architectures/llama.gguf")), await File.ReadAllBytesAsync(model));
        Assert.Equal([_folder.Path("out.gguf"), model], Directory.GetFiles(_folder.Root).Order());
    }

    [Theory]
    [InlineData("", "must not be empty")]
    [InlineData("/dev/stdout", "must not be stdout, which has the report")]
    public async Task What_is_no_file_is_refused(string name, string rule)
    {
        var result = await Cli.RunAsync("quantize", Golden.Path("architectures/llama.gguf"), name, "Q8_0", "--force");

        Assert.Equal(2, result.ExitCode);
        Assert.Equal($"error: OUT is {(name.Length == 0 ? "\"\"" : name)}: {rule}", Assert.Single(result.Errors));
    }

    [Fact]
    public async Task Ctrl_C_leaves_nothing_behind()
    {
        var model = WriteLargeModel();
        await using var cli = Cli.Start("quantize", model, _folder.Path("out.gguf"), "Q4_K_M");
        bool HasBegun() => new DirectoryInfo(_folder.Root).GetFiles("out.gguf.*.partial") is [{ Length: > 1 << 20 }];
        for (var clock = Stopwatch.StartNew(); !HasBegun();)
        {
            Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(30));
            await Task.Delay(10);
        }

        await cli.SignalAsync("INT");

        Assert.Equal(new CliResult(130, "", ""), await cli.FinishAsync());
        Assert.Equal([model], Directory.GetFiles(_folder.Root));
    }

    public void Dispose() => _folder.Dispose();

    // The reference model with more and wider layers, whose weights are a hole in the file: gigabytes that take no room on the disk.
    private string WriteLargeModel()
    {
        const int Layers = 16;
        const long Width = 1 << 18;
        using var model = GgufFile.Open(Golden.Path("architectures/llama.gguf"));
        var writer = new GgufWriter();
        writer.SetAll(model.Metadata);
        writer.Set("llama.block_count", Layers);
        writer.Set("llama.feed_forward_length", (uint)Width);
        var oldWidth = model.Metadata.GetInt64("llama.feed_forward_length");
        foreach (var tensor in model.Tensors.Values.Where(tensor => !tensor.Name.StartsWith("blk.", StringComparison.Ordinal)))
            writer.Add(tensor);
        foreach (var tensor in model.Tensors.Values.Where(tensor => tensor.Name.StartsWith("blk.0.", StringComparison.Ordinal)))
        {
            var shape = tensor.Dimensions.Select(dimension => dimension == oldWidth ? Width : dimension).ToArray();
            for (var layer = 0; layer < Layers; layer++)
                AddHole(tensor.Name.Replace(".0.", $".{layer}.", StringComparison.Ordinal), shape);
        }

        writer.Write(_folder.Path("large.gguf"));
        return _folder.Path("large.gguf");

        void AddHole(string name, long[] shape) => writer.Add(name, F32.Type, shape, stream =>
        {
            stream.Seek(shape.Aggregate(1L, (product, dimension) => product * dimension) * sizeof(float) - 1, SeekOrigin.Current);
            stream.WriteByte(0);
        });
    }
}
