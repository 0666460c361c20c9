using System.Text.Json.Nodes;
using Distributed.Testing;

namespace Distributed.Engine.Tests;

/// <summary>A folder as it lies on Hugging Face gives the bits of the GGUF file made from it.</summary>
public sealed class HuggingFaceLogitsTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public static TheoryData<string, string> Models => new()
    {
        { "architectures/llama", "llama" },
        { "architectures/llama", "mistral" },
        { "architectures/llama-linear", "llama" },
        { "architectures/qwen2", "qwen2" },
        { "architectures/qwen3moe", "qwen3_moe" },
        { "architectures/phi3", "phi3" },
        { "architectures/gemma2", "gemma2" },
        { "architectures/gpt-oss", "gpt_oss" },
        { "formulas/cohere2", "cohere2" },
        { "formulas/command-r", "cohere" },
        { "formulas/glm4", "glm4" },
        { "formulas/granite", "granite" },
        { "formulas/olmo2", "olmo2" },
        { "formulas/olmo3", "olmo3" },
        { "formulas/stablelm", "stablelm" },
        { "formulas/stablelm-parallel", "stablelm" },
        { "formulas/starcoder2", "starcoder2" },
        { "quantized/F16", "llama" },
    };

    public void Dispose() => _folder.Dispose();

    [Theory, MemberData(nameof(Models))]
    public void Logits_have_the_bits_of_the_file_made_from_the_folder(string name, string modelType) =>
        Compare(Golden.Path($"{name}.gguf"), modelType);

    [SharedTheory]
    [InlineData("gemma3", "gemma3_text")]
    [InlineData("qwen3", "qwen3")]
    [InlineData("llama-moe", "mixtral")]
    public void Logits_of_more_models_have_the_same_bits_too(string name, string modelType) =>
        Compare(SharedGolden.Path($"architectures/{name}.gguf"), modelType);

    [Theory]
    [InlineData("BF16")]
    [InlineData("F16")]
    public void Norms_and_biases_of_half_precision_are_converted_exactly(string type)
    {
        foreach (var (name, modelType) in new[] { ("qwen2", "qwen2"), ("gpt-oss", "gpt_oss"), ("gemma2", "gemma2"), ("qwen3moe", "qwen3_moe") })
        {
            var rounded = _folder.Path($"{name}.gguf");
            HuggingFaceWriter.Round(Golden.Path($"architectures/{name}.gguf"), rounded, QuantTypes.ByName(type));
            Compare(rounded, modelType, QuantTypes.ByName(type));
        }
    }

    [Fact]
    public void Llama_3_frequencies_and_a_tied_head_give_the_same_bits()
    {
        var folder = _folder.Path("folder");
        Directory.CreateDirectory(folder);
        var reference = Golden.Path("architectures/llama31-tied.gguf");
        HuggingFaceWriter.Write(reference, folder, "llama");

        // The reference has divisors of its own; those of the folder's config stand in for them.
        var gguf = _folder.Path("model.gguf");
        using (var file = GgufFile.Open(reference))
        using (var model = ModelFile.Open(folder))
        {
            Assert.Equal(8, model.Tensors[TensorNames.RopeFactors].Columns);
            var writer = new GgufWriter();
            writer.SetAll(file.Metadata);
            foreach (var tensor in file.Tensors.Values)
                writer.Add(tensor.Name == TensorNames.RopeFactors ? model.Tensors[tensor.Name] : tensor);
            writer.Write(gguf);
        }
        Assert.Equal(Run(gguf), Run(folder));
    }

    [Fact]
    public void Shards_give_what_one_file_gives() => Compare(Golden.Path("architectures/qwen3moe.gguf"), "qwen3_moe", shards: 3);

    [Fact]
    public void Experts_stay_where_they_lie()
    {
        HuggingFaceWriter.Write(Golden.Path("architectures/qwen3moe.gguf"), _folder.Root, "qwen3_moe");
        using var model = ModelFile.Open(_folder.Root);
        var experts = model.Tensors["blk.0.ffn_up_exps.weight"];
        Assert.Equal([64, 48, 6], experts.Dimensions);
        Assert.Equal(6, experts.Parts.Count);
        Assert.True(experts.Row(48).SequenceEqual(experts.Parts[1].Row(0)));
        Assert.All(experts.Parts, part => Assert.False(part.IsMade));
        Assert.False(model.Tensors["blk.0.attn_q.weight"].IsMade);
    }

    [Fact]
    public void Experts_in_MXFP4_are_rearranged_not_rounded()
    {
        // What the model is published with: scales apart from values, neighbours in a byte, gate and other half row by row.
        const int Hidden = 64, Wide = 48, Experts = 4, Blocks = Hidden / 32;
        var gguf = _folder.Path("model.gguf");
        HuggingFaceWriter.Write(Golden.Path("architectures/gpt-oss.gguf"), _folder.Root, "gpt_oss");
        var stored = SafetensorsWriter.ReadFile(_folder.Path("model.safetensors"));
        using (var file = GgufFile.Open(Golden.Path("architectures/gpt-oss.gguf")))
        {
            var random = new Random(5);
            var writer = new GgufWriter();
            writer.SetAll(file.Metadata);
            foreach (var tensor in file.Tensors.Values.Where(tensor => !tensor.Name.Contains("_exps.weight", StringComparison.Ordinal)
                || tensor.Name.Contains("down", StringComparison.Ordinal)))
                writer.Add(tensor);
            for (var layer = 0; layer < 4; layer++)
            {
                var (halves, scales) = (new byte[Experts * 2 * Wide * Blocks * 16], new byte[Experts * 2 * Wide * Blocks]);
                random.NextBytes(halves);
                foreach (ref var scale in scales.AsSpan())
                    scale = (byte)random.Next(120, 126);
                foreach (var (offset, name) in new[] { (0, "gate"), (1, "up") })
                {
                    var bytes = new List<byte>();
                    for (var row = offset; row < Experts * 2 * Wide; row += 2)
                        for (var block = row * Blocks; block < (row + 1) * Blocks; block++)
                        {
                            bytes.Add(scales[block]);
                            for (var i = 0; i < 16; i++)
                                bytes.Add((byte)(Value(block, i) | (Value(block, i + 16) << 4)));
                        }
                    writer.Add($"blk.{layer}.ffn_{name}_exps.weight", MXFP4.Type, [Hidden, Wide, Experts], stream => stream.Write([.. bytes]));
                }
                var prefix = $"model.layers.{layer}.mlp.experts.gate_up_proj";
                stored.RemoveAll(tensor => tensor.Name == prefix);
                stored.Add(new($"{prefix}_blocks", "U8", [Experts, 2 * Wide, Blocks, 16], halves));
                stored.Add(new($"{prefix}_scales", "U8", [Experts, 2 * Wide, Blocks], scales));

                int Value(int block, int index) => (halves[(block * 16) + (index / 2)] >> (index % 2 * 4)) & 15;
            }
            writer.Write(gguf);
        }
        SafetensorsWriter.WriteFolder(_folder.Root, stored);

        Assert.Equal(Run(gguf), Run(_folder.Root));
    }

    [SharedFact]
    public void A_model_of_images_and_text_answers_with_the_latter()
    {
        var reference = SharedGolden.Path("architectures/gemma3.gguf");
        HuggingFaceWriter.Write(reference, _folder.Root, "gemma3_text");
        var text = JsonNode.Parse(File.ReadAllText(_folder.Path("config.json")));
        File.WriteAllText(_folder.Path("config.json"), new JsonObject { ["model_type"] = "gemma3", ["text_config"] = text }.ToJsonString());
        var stored = SafetensorsWriter.ReadFile(_folder.Path("model.safetensors"));
        SafetensorsWriter.WriteFolder(_folder.Root, [
            .. stored.Select(tensor => tensor with { Name = $"language_model.{tensor.Name}" }),
            new("vision_tower.post_layernorm.weight", "F32", [1], new byte[4]),
        ]);

        Assert.Equal(Run(reference), Run(_folder.Root));
    }

    [Theory]
    [InlineData("phi3-long")]
    [InlineData("phi3-short")]
    public void LongRope_takes_its_factor_from_the_two_contexts(string name)
    {
        var gguf = _folder.Path("scaled.gguf");
        using (var file = GgufFile.Open(Golden.Path($"formulas/{name}.gguf")))
        {
            var writer = new GgufWriter();
            writer.SetAll(file.Metadata);
            var (context, original) = (file.Metadata.GetInt32("phi3.context_length"), file.Metadata.GetInt32("phi3.rope.scaling.original_context_length"));
            var scale = context / (double)original;
            writer.Set("phi3.rope.scaling.attn_factor", scale > 1 ? (float)Math.Sqrt(1 + (Math.Log(scale) / Math.Log(original))) : 1f);
            foreach (var tensor in file.Tensors.Values)
                writer.Add(tensor);
            writer.Write(gguf);
        }
        Compare(gguf, "phi3");
    }

    [Fact]
    public void Layers_without_positions_add_up_in_another_order_and_no_more()
    {
        var gguf = Golden.Path("formulas/smollm3.gguf");
        HuggingFaceWriter.Write(gguf, _folder.Root, "smollm3");
        var (expected, actual) = (Run(gguf), Run(_folder.Root));
        for (var i = 0; i < expected.Length; i++)
            Assert.InRange(actual[i] - expected[i], -1e-5f, 1e-5f);
    }

    private void Compare(string gguf, string modelType, QuantType? floats = null, int shards = 1)
    {
        HuggingFaceWriter.Write(gguf, _folder.Root, modelType, floats, shards);
        Assert.Equal(Run(gguf), Run(_folder.Root));
    }

    private static float[] Run(string path)
    {
        using var runner = new StageRunner(path, stages: 2, kvType: KvType.F16);
        int[] tokens = [.. Enumerable.Range(0, 20).Select(i => (i * i * 7) % Math.Min(48, runner.Config.VocabSize))];
        return [.. runner.Run((1, 0, tokens)), .. runner.Run((1, tokens.Length, [5]))];
    }
}
