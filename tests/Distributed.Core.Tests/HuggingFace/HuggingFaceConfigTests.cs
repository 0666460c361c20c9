using System.Text.Json.Nodes;
using Distributed.Testing;

namespace Distributed.Core.Tests.HuggingFace;

public sealed class HuggingFaceConfigTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_folder_gives_its_config()
    {
        Write("llama31-tied", "llama");
        using var model = ModelFile.Open(_folder.Root + Path.DirectorySeparatorChar);
        Assert.Equal(
            new ModelConfig
            {
                Architecture = "llama",
                Name = Path.GetFileName(_folder.Root),
                NumLayers = 3,
                HiddenSize = 64,
                IntermediateSize = 96,
                NumHeads = 4,
                NumKvHeads = 2,
                HeadDim = 16,
                VocabSize = 320,
                ContextLength = 512,
                RmsNormEps = 1e-5f,
                Rope = new RopeConfig(500_000, 16, RopePairs.HalvesToNeighbours),
            },
            model.Config);
        Assert.Equal("token_embd.weight", model.OutputMatrix.Name);
        Assert.Equal(new FileInfo(_folder.Path("model.safetensors")).Length, model.Bytes);
    }

    [Fact]
    public void Frequencies_of_Llama_3_are_divided_as_its_paper_says()
    {
        Write("llama31-tied", "llama", config =>
        {
            config["head_dim"] = 128;
            config["num_attention_heads"] = 1;
            config["num_key_value_heads"] = 1;
        });
        var error = Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Root)).Errors[0];
        Assert.Equal("model.layers.0.self_attn.q_proj.weight", error.Key);

        // Tensors of the shapes above, and nothing but zeros.
        var zeros = new List<SafetensorsData>();
        Zeros("model.embed_tokens.weight", 320, 64);
        Zeros("model.norm.weight", 64);
        for (var layer = 0; layer < 3; layer++)
        {
            foreach (var name in new[] { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" })
                Zeros($"model.layers.{layer}.{name}.weight", 128, 64);
            Zeros($"model.layers.{layer}.self_attn.o_proj.weight", 64, 128);
            foreach (var name in new[] { "mlp.gate_proj", "mlp.up_proj" })
                Zeros($"model.layers.{layer}.{name}.weight", 96, 64);
            Zeros($"model.layers.{layer}.mlp.down_proj.weight", 64, 96);
            Zeros($"model.layers.{layer}.input_layernorm.weight", 64);
            Zeros($"model.layers.{layer}.post_attention_layernorm.weight", 64);
        }
        SafetensorsWriter.WriteFolder(_folder.Root, zeros);
        using var model = ModelFile.Open(_folder.Root);
        var factors = new float[64];
        model.Tensors[TensorNames.RopeFactors].DequantizeRow(0, factors);
        Assert.All(factors[..29], factor => Assert.Equal(1, factor));
        // Computed in double precision from theta 500 000, 128 values, factor 8, from 1 to 4 turns in 8192 tokens.
        foreach (var (expected, factor) in new[] { 1.207484, 1.553415, 2.026313, 2.69453, 3.684253, 5.257327 }.Zip(factors[29..35]))
            Assert.Equal(expected, factor, 2e-6);
        Assert.All(factors[35..], factor => Assert.Equal(8, factor));

        void Zeros(string name, params long[] shape) =>
            zeros.Add(new SafetensorsData(name, "BF16", shape, new byte[2 * shape.Aggregate(1L, (a, b) => a * b)]));
    }

    [Fact]
    public void Rope_parameters_of_newer_files_say_the_same()
    {
        Write("llama-linear", "llama", config =>
        {
            config.Remove("rope_theta");
            config.Remove("rope_scaling");
            config["rope_parameters"] = new { rope_theta = 5e5, rope_type = "linear", factor = 4 };
        });
        using var model = ModelFile.Open(_folder.Root);
        Assert.Equal(new RopeConfig(5e5f, 16, RopePairs.HalvesToNeighbours, 4), model.Config.Rope);
    }

    [Theory]
    [InlineData("model_type", "\"mamba\"", "must be one of llama, mistral, mixtral")]
    [InlineData("num_hidden_layers", "0", "must lie between 1 and 1024")]
    [InlineData("num_hidden_layers", "\"3\"", "must be an integer")]
    [InlineData("num_hidden_layers", "3.5", "must be an integer")]
    [InlineData("hidden_size", "1e9", "must be an integer")]
    [InlineData("hidden_size", "1000000000", "must lie between 1 and 262144")]
    [InlineData("num_key_value_heads", "3", "must divide the number of heads, 4")]
    [InlineData("head_dim", "100000", "must lie between 2 and 512")]
    [InlineData("rms_norm_eps", "-1", "must lie between 0 and 1")]
    [InlineData("rms_norm_eps", "\"small\"", "must be a number")]
    [InlineData("vocab_size", "null", "is missing; it must be an integer")]
    [InlineData("rope_theta", "0", "must lie between 1 and")]
    [InlineData("hidden_act", "\"relu\"", "must be silu or swish in llama models")]
    [InlineData("layer_types", """["sliding_attention"]""", "must be full_attention alone in llama models")]
    [InlineData("rope_scaling", "3", "must be an object")]
    [InlineData("partial_rotary_factor", "0.5", "must be 1 in llama models")]
    [InlineData("tie_word_embeddings", "7", "must be true or false")]
    public void A_value_that_breaks_its_rule_is_refused(string key, string value, string rule)
    {
        Write("llama", "llama", config => config[key] = JsonNode.Parse(value));
        var errors = Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Root)).Errors;
        Assert.Contains(errors, error => error.Key == key && error.Rule.StartsWith(rule, StringComparison.Ordinal));
        Assert.All(errors, error => Assert.Equal(_folder.Path("config.json"), error.Source));
    }

    [Theory]
    [InlineData("""{"type": "ntk", "factor": 2}""", "rope_scaling.type", "must be a scaling that llama models have here")]
    [InlineData("""{"rope_type": "linear"}""", "rope_scaling.factor", "is missing")]
    [InlineData("""{"rope_type": "llama3", "factor": 8}""", "rope_scaling.low_freq_factor", "is missing")]
    [InlineData("""{"rope_type": "longrope", "long_factor": [1]}""", "rope_scaling.rope_type", "must be a scaling that llama models have here")]
    public void A_scaling_that_is_not_known_or_lacks_a_figure_is_refused(string scaling, string key, string rule)
    {
        Write("llama", "llama", config => config["rope_scaling"] = JsonNode.Parse(scaling));
        var errors = Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Root)).Errors;
        Assert.Contains(errors, error => error.Key == key && error.Rule.StartsWith(rule, StringComparison.Ordinal));
    }

    [Fact]
    public void Windows_must_be_where_the_architecture_has_them()
    {
        Write("gemma2", "gemma2", config => config["layer_types"] = new[] { "sliding_attention", "sliding_attention", "sliding_attention", "full_attention" });
        Assert.Equal("layer_types", Assert.Single(Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Root)).Errors).Key);
    }

    [Theory]
    [InlineData("awq")]
    [InlineData("gptq")]
    [InlineData("fp8")]
    [InlineData("bitsandbytes")]
    public void Quantised_weights_are_refused_by_name(string method)
    {
        Write("llama", "llama", config => config["quantization_config"] = new { quant_method = method, bits = 4 });
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Root)).Errors);
        Assert.Equal(("quantization_config.quant_method", method), (error.Key, error.Value));
    }

    [Fact]
    public void One_wrong_size_is_one_error()
    {
        Write("llama", "llama", config =>
        {
            config["hidden_size"] = -64;
            config.Remove("head_dim");
        });
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Root)).Errors);
        Assert.Equal(("hidden_size", "-64"), (error.Key, error.Value));
    }

    [Theory]
    [InlineData("config.json")]
    [InlineData("tokenizer.json")]
    [InlineData("chat_template.jinja")]
    public void A_device_in_place_of_a_file_is_refused(string name)
    {
        Write("llama", "llama");
        File.Delete(_folder.Path(name));
        File.CreateSymbolicLink(_folder.Path(name), "/dev/zero");
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() =>
        {
            using var source = ModelSource.Open(_folder.Root);
            _ = source.ChatTemplate;
            _ = source.ReadVocabulary();
        }).Errors);
        Assert.Equal((name, "must be a plain file that is not empty"), (error.Key, error.Rule));
    }

    [Fact]
    public void A_folder_that_is_no_model_says_what_it_lacks()
    {
        Assert.Equal(("model", "must be a folder with config.json, or a GGUF file"), Refused());
        Write("llama", "llama");
        File.Delete(_folder.Path("model.safetensors"));
        Assert.Equal(("weights", "are missing; they must be model.safetensors, or model.safetensors.index.json and its shards"), Refused());
        File.WriteAllBytes(_folder.Path("pytorch_model.bin"), [1]);
        Assert.Equal(("weights", "is not read: they must be model.safetensors, or model.safetensors.index.json and its shards"), Refused());

        (string, string) Refused()
        {
            var error = Assert.Single(Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Root)).Errors);
            return (error.Key, error.Rule);
        }
    }

    [Fact]
    public void The_hash_is_that_of_config_and_weights_and_not_of_the_path()
    {
        Write("llama", "llama");
        var hash = Hash();
        Assert.Equal(32, hash.Length);
        Assert.Equal(hash, Hash());
        var weights = File.ReadAllBytes(_folder.Path("model.safetensors"));
        weights[^1] ^= 1;
        _folder.Write("model.safetensors", weights);
        Assert.NotEqual(hash, Hash());
        weights[^1] ^= 1;
        _folder.Write("model.safetensors", weights);
        File.AppendAllText(_folder.Path("config.json"), " ");
        Assert.NotEqual(hash, Hash());
    }

    private byte[] Hash()
    {
        using var model = ModelFile.Open(_folder.Root);
        return model.Hash;
    }

    private void Write(string name, string modelType, Action<Dictionary<string, object?>>? change = null) =>
        HuggingFaceWriter.Write(Golden.Path($"architectures/{name}.gguf"), _folder.Root, modelType, change: change);
}
