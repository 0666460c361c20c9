using System.Runtime.InteropServices;
using Distributed.Core.Gguf;
using Distributed.Core.Quantization;
using Distributed.Core.Tests.Gguf;
using Distributed.Testing;

namespace Distributed.Core.Tests.Quantization;

public sealed class ModelQuantizerTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly List<GgufFile> _files = [];

    [Fact]
    public void Mixture_is_that_of_the_reference()
    {
        using var reference = ModelFile.Open(Golden.Path("quantized/Q4_K_M.gguf"));
        AssertKeepsEveryType(reference, "Q4_K_M");
    }

    [SharedFact]
    public void Mixture_of_five_bits_is_that_of_the_reference()
    {
        using var reference = ModelFile.Open(SharedGolden.Path("quantized/Q5_K_M.gguf"));
        AssertKeepsEveryType(reference, "Q5_K_M");
    }

    [Theory]
    // Rows of 32 and 64 values hold no block of 256: five bits take the place of four, eight that of six.
    [InlineData("Q4_K_M", "Q5_0", "Q8_0", "0 1 4 7 10 13 14 15", "0 1 4 7 10 13 14 15")]
    [InlineData("Q5_K_M", "Q5_1", "Q8_0", "0 1 4 7 10 13 14 15", "0 1 4 7 10 13 14 15")]
    [InlineData("Q4_K_S", "Q5_0", "Q5_1", "0 1 2 3", "0 1")]
    [InlineData("Q6_K", "Q8_0", "", "", "")]
    [InlineData("Q4_0", "Q4_0", "", "", "")]
    public void Some_layers_get_more_bits(string type, string usual, string better, string layersOfValues, string layersOfDown)
    {
        using var model = Open(TinyModel.Create(layers: 16));

        var types = Quantizer(model, type).Tensors.ToDictionary(tensor => tensor.Source.Name, tensor => tensor.Type.Name);

        Assert.Equal(layersOfValues, Layers("attn_v"));
        Assert.Equal(layersOfDown, Layers("ffn_down"));
        Assert.Equal("Q8_0", types["output.weight"]);
        Assert.Equal(usual, types["token_embd.weight"]);
        Assert.Equal(usual, types["blk.0.attn_q.weight"]);
        Assert.Equal("F32", types["blk.0.attn_norm.weight"]);

        string Layers(string name) =>
            string.Join(' ', Enumerable.Range(0, 16).Where(layer => types[$"blk.{layer}.{name}.weight"] == better));
    }

    [Fact]
    public void Rows_without_a_whole_block_become_halves_and_routers_stay()
    {
        using var model = ModelFile.Open(Golden.Path("architectures/qwen3moe.gguf"));
        var tensors = Quantizer(model, "q4_0").Tensors;

        Assert.All(tensors.Where(tensor => tensor.Source.Name.Contains("ffn_gate_inp", StringComparison.Ordinal)), Stays);
        Assert.All(tensors.Where(tensor => tensor.Source.Dimensions.Count == 1), Stays);
        var experts = tensors.Where(tensor => tensor.Source.Name.Contains("_exps", StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(experts);
        Assert.All(experts, tensor => Assert.Equal(tensor.Source.Columns % 32 == 0 ? Q4_0.Type : F16.Type, tensor.Type));

        static void Stays(QuantizedTensor tensor) => Assert.Equal(F32.Type, tensor.Type);
    }

    [Fact]
    public void Metadata_is_carried_over_with_the_two_keys_of_the_type()
    {
        using var original = GgufFile.Open(Golden.Path("architectures/llama.gguf"));
        using var model = ModelFile.Open(original.Path);

        using var file = GgufFile.Open(Write(model, "Q4_K_M"));

        Assert.Equal(15, file.Metadata.GetInt32("general.file_type"));
        Assert.Equal(2, file.Metadata.GetInt32("general.quantization_version"));
        foreach (var key in original.Metadata.Keys.Except(["general.file_type", "general.quantization_version"]))
            Assert.Equal(original.Metadata.GetValue(key), file.Metadata.GetValue(key));
        Assert.Equal(original.Metadata.Keys.Union(["general.file_type", "general.quantization_version"]).Order(), file.Metadata.Keys.Order());
        Assert.Equal(original.Tensors.Keys, file.Tensors.Keys);
    }

    [Fact]
    public void Set_of_files_becomes_one()
    {
        using var original = GgufFile.Open(Golden.Path("architectures/llama.gguf"));
        using var whole = ModelFile.Open(original.Path);
        using var set = ModelFile.Open(WriteInTwo(original));

        Assert.Equal(File.ReadAllBytes(Write(whole, "Q8_0", "whole")), File.ReadAllBytes(Write(set, "Q8_0", "set")));
    }

    [Fact]
    public void Any_number_of_threads_writes_the_same_file()
    {
        using var model = ModelFile.Open(Repository.SampleModel);

        Assert.Equal(File.ReadAllBytes(Write(model, "Q4_K_M", "one", threads: 1)), File.ReadAllBytes(Write(model, "Q4_K_M", "five", threads: 5)));
    }

    [Fact]
    public void Model_comes_back_from_single_precision_byte_for_byte()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        using var single = ModelFile.Open(Write(model, "F32"));
        Assert.All(single.Tensors.Values, tensor => Assert.Equal(F32.Type, tensor.Type));

        Assert.Equal(File.ReadAllBytes(Repository.SampleModel), File.ReadAllBytes(Write(single, "Q8_0", "again")));
    }

    [Fact]
    public void Only_what_is_rounded_a_second_time_counts_as_requantised()
    {
        using var model = ModelFile.Open(Repository.SampleModel);

        Assert.Contains(Quantizer(model, "Q4_0").Tensors, tensor => tensor.IsRequantized);
        Assert.DoesNotContain(Quantizer(model, "Q8_0").Tensors, tensor => tensor.IsRequantized);
        Assert.DoesNotContain(Quantizer(model, "F16").Tensors, tensor => tensor.IsRequantized);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public void Value_that_is_not_finite_is_refused_with_its_tensor(float value)
    {
        var writer = TinyModel.Create(leaveOut: ["blk.0.ffn_up.weight"]);
        var values = new float[TinyModel.Hidden * 64];
        values[^1] = value;
        writer.Add("blk.0.ffn_up.weight", F32.Type, [TinyModel.Hidden, 64], stream => stream.Write(MemoryMarshal.AsBytes<float>(values)));
        using var model = Open(writer);

        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => Write(model, "Q4_0")).Errors);

        Assert.Equal("blk.0.ffn_up.weight", error.Key);
    }

    [Fact]
    public void Cancelling_ends_it_in_the_middle()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        using var cancellation = new CancellationTokenSource();
        var reported = 0;
        var progress = new Report(_ =>
        {
            reported++;
            cancellation.Cancel();
        });

        Assert.ThrowsAny<OperationCanceledException>(() => Quantizer(model, "Q4_K_M").Write(
            new MemoryStream(), 2, progress, cancellation.Token));

        Assert.Equal(1, reported);
    }

    public void Dispose()
    {
        foreach (var file in _files)
            file.Dispose();
        _folder.Dispose();
    }

    private void AssertKeepsEveryType(ModelFile reference, string type)
    {
        foreach (var tensor in Quantizer(reference, type).Tensors)
            Assert.Equal((tensor.Source.Name, tensor.Source.Type), (tensor.Source.Name, tensor.Type));
    }

    private ModelFile Open(GgufWriter writer)
    {
        writer.Write(_folder.Path("model.gguf"));
        return ModelFile.Open(_folder.Path("model.gguf"));
    }

    private ModelQuantizer Quantizer(ModelFile model, string type)
    {
        _files.Add(GgufFile.Open(model.Path));
        return new ModelQuantizer(model, _files[^1].Metadata, FileType.Find(type)!);
    }

    private string Write(ModelFile model, string type, string name = "out", int threads = 2)
    {
        var path = _folder.Path($"{name}.gguf");
        using var stream = File.Create(path);
        Quantizer(model, type).Write(stream, threads, null, CancellationToken.None);
        return path;
    }

    private string WriteInTwo(GgufFile original)
    {
        for (ushort index = 0; index < 2; index++)
        {
            var writer = new GgufWriter();
            if (index == 0)
                writer.SetAll(original.Metadata);
            writer.Set("split.no", index);
            writer.Set("split.count", (ushort)2);
            writer.Set("split.tensors.count", original.Tensors.Count);
            var half = original.Tensors.Count / 2;
            foreach (var tensor in index == 0 ? original.Tensors.Values.Take(half) : original.Tensors.Values.Skip(half))
                writer.Add(tensor);
            writer.Write(_folder.Path($"set-0000{index + 1}-of-00002.gguf"));
        }

        return _folder.Path("set-00001-of-00002.gguf");
    }

    private sealed class Report(Action<long> report) : IProgress<long>
    {
        void IProgress<long>.Report(long value) => report(value);
    }
}
