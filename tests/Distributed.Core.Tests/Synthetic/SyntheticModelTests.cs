using Distributed.Core.Quantization;
using Distributed.Core.Synthetic;
using Distributed.Testing;

namespace Distributed.Core.Tests.Synthetic;

public sealed class SyntheticModelTests : IDisposable
{
    private const string Shape = "layers=8,hidden=256,ffn=512,heads=4,kv=2,vocab=300";

    private readonly TempFolder _folder = new();

    public static TheoryData<string> Types => [.. QuantTypes.All.Select(type => type.Name)];

    [Theory]
    [MemberData(nameof(Types))]
    public void Every_type_gives_finite_values_of_the_size_that_keeps_sums_at_1(string type)
    {
        using var model = Make($"layers=1,hidden=256,ffn=512,heads=4,vocab=300:{type}");
        var matrix = model.Tensors["blk.0.ffn_down.weight"];
        var values = new float[matrix.Rows * matrix.Columns];
        for (var row = 0; row < matrix.Rows; row++)
            matrix.DequantizeRow(row, values.AsSpan(row * 512, 512));

        Assert.Equal(type, matrix.Type.Name);
        Assert.All(values, value => Assert.True(float.IsFinite(value)));
        // Formats whose scales are powers of two come within a factor of √2.
        var size = Math.Sqrt(values.Average(value => (double)value * value)) * Math.Sqrt(512);
        Assert.InRange(size, 0.7, 1.42);
        Assert.InRange(values.Average() * Math.Sqrt(512), -0.05, 0.05);
    }

    [Theory]
    [InlineData("llama-1b:q4_0", 1_100_048_384, 22)]
    [InlineData("llama-3b:q4_0", 3_212_749_824, 28)]
    [InlineData("llama-8b:q4_k_m", 8_030_261_248, 32)]
    [InlineData("qwen3-4b:q4_0", 4_022_468_096, 36)]
    [InlineData("qwen3-30b-a3b:q4_0", 30_532_122_624, 48)]
    [InlineData("gpt-oss-20b:mxfp4", 20_914_757_184, 24)]
    [InlineData("mixtral-8x7b:q4_0", 46_702_792_704, 32)]
    public void Named_shapes_have_as_many_parameters_as_the_models_they_are_named_for(string text, long parameters, int layers)
    {
        var plan = SyntheticPlan.Parse(text, "model");

        Assert.Equal(layers, plan.Config.NumLayers);
        Assert.Equal(parameters, plan.Parameters);
    }

    [Fact]
    public void Same_seed_gives_the_same_weights_and_no_two_pages_are_alike()
    {
        using var first = Make($"{Shape}:q4_0");
        using var second = Make($"{Shape}:q4_0");
        using var other = Make($"{Shape}:q4_0", seed: 2);

        Assert.All(first.Tensors.Keys, name => Assert.Equal(Bytes(first, name), Bytes(second, name)));
        Assert.NotEqual(Bytes(first, "output.weight"), Bytes(other, "output.weight"));
        var pages = first.Tensors.Values.Where(tensor => tensor.Type == Q4_0.Type).SelectMany(tensor => Bytes(first, tensor.Name).Chunk(4096)).ToList();
        Assert.Equal(pages.Count, pages.Select(Convert.ToHexString).Distinct().Count());
    }

    [Fact]
    public void Mix_gives_more_bits_to_the_output_and_to_half_of_the_values_and_down_matrices()
    {
        using var model = Make($"layers=16,hidden=256,ffn=256,heads=4,vocab=300:Q4_k_M");

        Assert.Equal("Q6_K", model.Tensors["output.weight"].Type.Name);
        Assert.Equal("Q4_K", model.Tensors["token_embd.weight"].Type.Name);
        Assert.Equal("Q4_K", model.Tensors["blk.0.ffn_up.weight"].Type.Name);
        foreach (var name in (string[])["attn_v", "ffn_down"])
            Assert.Equal(
                [0, 1, 4, 7, 10, 13, 14, 15],
                Enumerable.Range(0, 16).Where(layer => model.Tensors[$"blk.{layer}.{name}.weight"].Type.Name == "Q6_K"));
    }

    [Theory]
    [InlineData($"{Shape}:q8_0")]
    [InlineData("layers=2,hidden=64,ffn=96,heads=4,head-dim=32,kv=2,vocab=300,experts=4,per-token=2,expert-ffn=32,context=77:q4_0")]
    public void Saved_file_is_the_same_model(string text)
    {
        var source = Make(text);
        using var model = new ModelFile(source);
        var path = _folder.Path("model.gguf");
        using (var file = File.Create(path))
            source.Save(file);
        using var read = ModelFile.Open(path);

        Assert.Equal(model.Config with { Name = "" }, read.Config with { Name = "" });
        Assert.Equal(model.Tensors.Keys.Order(), read.Tensors.Keys.Order());
        Assert.All(model.Tensors.Keys, name => Assert.True(BytesOf(model.Tensors[name]).SequenceEqual(BytesOf(read.Tensors[name]))));
        Assert.Equal(model.Config.VocabSize, read.Tokenizer.VocabSize);
        Assert.Equal("Hé!", read.Tokenizer.Decode(read.Tokenizer.Encode("Hé!")).Trim());
    }

    [Fact]
    public void All_wrong_keys_are_told_at_once()
    {
        var error = Assert.Throws<InvalidInputException>(() => SyntheticPlan.Parse("layers=x,hidden=64,depth=3,heads=2,heads=4:q8_0", "--synthetic"));

        Assert.Equal(
            ["--synthetic layers", "--synthetic depth", "--synthetic heads", "--synthetic ffn"],
            error.Errors.Select(one => one.Key));
    }

    public void Dispose() => _folder.Dispose();

    private static SyntheticModel Make(string text, ulong seed = 1) => new(SyntheticPlan.Parse(text, "model"), seed);

    private static byte[] Bytes(SyntheticModel model, string name) => BytesOf(model.Tensors[name]);

    private static byte[] BytesOf(Tensor tensor)
    {
        using var bytes = new MemoryStream();
        for (var row = 0L; row < tensor.Rows; row++)
            bytes.Write(tensor.Row(row));
        return bytes.ToArray();
    }
}
