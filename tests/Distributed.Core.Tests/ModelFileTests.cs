using Distributed.Core.Gguf;
using Distributed.Core.Tests.Gguf;
using Distributed.Testing;

namespace Distributed.Core.Tests;

public sealed class ModelFileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("llama", 10_000f, 1f, "output.weight")]
    [InlineData("llama-linear", 10_000f, 4f, "output.weight")]
    [InlineData("llama31-tied", 500_000f, 1f, "token_embd.weight")]
    public void A_llama_file_gives_its_config(string name, float theta, float factor, string output)
    {
        using var model = ModelFile.Open(Golden.Path($"architectures/{name}.gguf"));

        Assert.Equal(
            new ModelConfig
            {
                Architecture = "llama",
                Name = "golden",
                NumLayers = 3,
                HiddenSize = 64,
                IntermediateSize = 96,
                NumHeads = 4,
                NumKvHeads = 2,
                HeadDim = 16,
                VocabSize = 320,
                ContextLength = 512,
                RmsNormEps = 1e-5f,
                Rope = new RopeConfig(theta, 16, RopePairs.Neighbours, factor),
            },
            model.Config);
        Assert.Equal(output, model.OutputMatrix.Name);
    }

    [Fact]
    public void The_sample_model_opens()
    {
        using var model = ModelFile.Open(Repository.SampleModel);

        Assert.Equal(("Tales 5M", 8, 1205), (model.Config.Name, model.Config.NumLayers, model.Config.VocabSize));
        Assert.Equal(new FileInfo(Repository.SampleModel).Length, model.Bytes);
        Assert.Equal(Repository.SampleModel, model.Path);
        Assert.Equal("Tell me a story.", model.Tokenizer.Decode(model.Tokenizer.Encode("Tell me a story.")));
    }

    [Fact]
    public void What_a_file_leaves_out_has_the_default_of_the_format()
    {
        var bare = TinyModel.Create(1, "llama.attention.head_count_kv", "blk.0.attn_k.weight", "blk.0.attn_v.weight", "general.name");
        var config = Read(bare, writer =>
        {
            writer.AddZeros("blk.0.attn_k.weight", Core.Quantization.F16.Type, 32, 32);
            writer.AddZeros("blk.0.attn_v.weight", Core.Quantization.F16.Type, 32, 32);
        });

        Assert.Equal((2, 16), (config.NumKvHeads, config.HeadDim));
        Assert.Equal(new RopeConfig(10_000, 16, RopePairs.Neighbours, 1), config.Rope);
        Assert.Equal("model", config.Name);
    }

    [Fact]
    public void The_config_of_a_mixture_of_experts_is_read()
    {
        using var model = ModelFile.Open(Golden.Path("architectures/gpt-oss.gguf"));

        Assert.Equal(new ExpertsConfig(4, 2, 48), model.Config.Experts);
        Assert.Equal(
            new RopeConfig(150_000, 32, RopePairs.Halves, 32, OriginalContext: 4096, Yarn: new YarnConfig(32, 1)), model.Config.Rope);
        Assert.Equal(8, model.Config.SlidingWindow);
    }

    [Fact]
    public void Experts_must_be_enough_for_the_tokens() => Assert.Contains(
        Refused(TinyModel.Create(), writer =>
        {
            writer.Set("llama.expert_count", 4u);
            writer.Set("llama.expert_used_count", 5u);
        }),
        error => error is { Key: "llama.expert_used_count", Value: "5", Rule: "must be at most expert_count, 4" });

    [Fact]
    public void Rope_scaling_is_read_under_the_old_key_too()
    {
        Assert.Equal(2f, Read(TinyModel.Create(), writer => writer.Set("llama.rope.scale_linear", 2f)).Rope.LinearFactor);
        Assert.Equal(1f, Read(TinyModel.Create(), writer => writer.Set("llama.rope.scale_linear", 0f)).Rope.LinearFactor);
        Assert.Equal(1f, Read(TinyModel.Create(), writer =>
        {
            writer.Set("llama.rope.scaling.type", "none");
            writer.Set("llama.rope.scaling.factor", 8f);
        }).Rope.LinearFactor);
    }

    [Theory]
    [InlineData("general.architecture", "mamba", "must be one of llama")]
    [InlineData("general.architecture", 1u, "must be a string")]
    [InlineData("llama.block_count", 0u, "must lie between 1 and 1024")]
    [InlineData("llama.block_count", uint.MaxValue, "must lie between 1 and 1024")]
    [InlineData("llama.block_count", ulong.MaxValue, "must lie between")]
    [InlineData("llama.block_count", "8", "must be an integer")]
    [InlineData("llama.context_length", 0u, "must lie between 1 and 268435456")]
    [InlineData("llama.embedding_length", 1u << 30, "must lie between 1 and 262144")]
    [InlineData("llama.feed_forward_length", -1, "must lie between 1 and 262144")]
    [InlineData("llama.attention.head_count", 3u, "must divide embedding_length, 32")]
    [InlineData("llama.attention.head_count", 0u, "must lie between 1 and 4096")]
    [InlineData("llama.attention.head_count_kv", 3u, "must divide the number of heads, 2")]
    [InlineData("llama.attention.key_length", 1u << 20, "must lie between 2 and 512")]
    [InlineData("llama.attention.value_length", 8u, "must be that of the keys, 16")]
    [InlineData("llama.attention.layer_norm_rms_epsilon", -1f, "must lie between 0 and 1")]
    [InlineData("llama.attention.layer_norm_rms_epsilon", float.NaN, "must lie between 0 and 1")]
    [InlineData("llama.rope.dimension_count", 18u, "must be even and at most the head's size, 16")]
    [InlineData("llama.rope.dimension_count", 7u, "must be even and at most the head's size, 16")]
    [InlineData("llama.rope.freq_base", 0f, "must lie between 1 and")]
    [InlineData("llama.rope.freq_base", float.PositiveInfinity, "must lie between 1 and")]
    [InlineData("llama.rope.scaling.type", "ntk", "must be none, linear, yarn or longrope")]
    [InlineData("llama.rope.scaling.factor", -4f, "must lie between 0 and")]
    [InlineData("llama.rope.scaling.attn_factor", float.NaN, "must lie between 0 and")]
    [InlineData("llama.attention.sliding_window", -1, "must lie between 0 and")]
    [InlineData("llama.expert_count", 1u << 20, "must lie between 0 and 4096")]
    public void A_value_that_breaks_its_rule_is_refused(string key, object value, string rule)
    {
        var errors = Refused(TinyModel.Create(), writer => writer.Set(key, value));

        Assert.Contains(
            errors, error => error.Key == key && error.Value is not null && error.Rule.StartsWith(rule, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("llama.block_count")]
    [InlineData("llama.context_length")]
    [InlineData("llama.embedding_length")]
    [InlineData("llama.feed_forward_length")]
    [InlineData("llama.attention.head_count")]
    [InlineData("llama.attention.layer_norm_rms_epsilon")]
    [InlineData("general.architecture")]
    public void A_missing_key_is_refused(string key)
    {
        var errors = Refused(TinyModel.Create(1, key));

        Assert.Contains(
            errors, error => error.Key == key && error.Value is null && error.Rule.StartsWith("is missing", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1u, 513u)]
    [InlineData(8u, 8u)]
    public void A_size_of_heads_that_follows_from_others_keeps_the_limit(uint heads, uint hidden)
    {
        var errors = Refused(TinyModel.Create(), writer =>
        {
            writer.Set("llama.embedding_length", hidden);
            writer.Set("llama.attention.head_count", heads);
            writer.Set("llama.attention.head_count_kv", heads);
        });

        Assert.Contains(errors, error => error.Key == "llama.attention.head_count"
            && error.Rule == $"must give heads of 2 to 512 values; these have {hidden / heads}");
    }

    [Fact]
    public void All_errors_in_the_metadata_are_reported_at_once()
    {
        var errors = Refused(TinyModel.Create(1, "llama.context_length"), writer =>
        {
            writer.Set("llama.rope.scaling.type", "ntk");
            writer.Set("llama.feed_forward_length", "wide");
            writer.Set("tokenizer.ggml.tokens", new[] { "a" });
        });

        Assert.Equal(
            ["llama.rope.scaling.type", "llama.feed_forward_length", "tokenizer.ggml.tokens", "llama.context_length"],
            errors.Select(error => error.Key));
    }

    [Theory]
    [InlineData("token_embd.weight", "[32, 4]")]
    [InlineData("output_norm.weight", "[32]")]
    [InlineData("blk.1.attn_k.weight", "[32, 16]")]
    [InlineData("blk.0.ffn_down.weight", "[64, 32]")]
    public void A_missing_tensor_is_refused_with_its_shape(string name, string shape)
    {
        var error = Assert.Single(Refused(TinyModel.Create(2, name)));

        Assert.Equal((name, null, $"is missing; a llama model needs it with the shape {shape}"), (error.Key, error.Value, error.Rule));
    }

    [Theory]
    [InlineData("output.weight", 32, 5, "[32, 5]", "must have the shape [32, 4]")]
    [InlineData("blk.0.attn_q.weight", 32, 16, "[32, 16]", "must have the shape [32, 32]")]
    [InlineData("rope_freqs.weight", 16, 1, "[16, 1]", "must have the shape [8]")]
    [InlineData("blk.0.attn_q_norm.weight", 32, 1, "there", "is not known in llama models of 1 layers")]
    [InlineData("blk.1.attn_q.weight", 32, 32, "there", "is not known in llama models of 1 layers")]
    public void A_tensor_that_does_not_belong_is_refused(string name, int columns, int rows, string value, string rule)
    {
        var error = Assert.Single(
            Refused(TinyModel.Create(1, name), writer => writer.AddZeros(name, Core.Quantization.F32.Type, columns, rows)));

        Assert.Equal((name, value), (error.Key, error.Value));
        Assert.StartsWith(rule, error.Rule, StringComparison.Ordinal);
    }

    [Fact]
    public void A_norm_must_be_single_precision()
    {
        var error = Assert.Single(Refused(TinyModel.Create(1, "output_norm.weight"),
            writer => writer.AddZeros("output_norm.weight", Core.Quantization.F16.Type, 32)));

        Assert.Equal(("output_norm.weight", "F16", "must be F32"), (error.Key, error.Value, error.Rule));
    }

    [Fact]
    public void Norms_of_each_head_must_be_single_precision_though_they_are_a_matrix()
    {
        var bytes = File.ReadAllBytes(Golden.Path("formulas/stablelm-parallel.gguf"));
        var name = "blk.0.attn_q_norm.weight"u8;
        // Behind the name: the number of dimensions, two of them, the type.
        bytes[bytes.AsSpan().IndexOf(name) + name.Length + 4 + 8 + 8] = 1;

        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Write("norm.gguf", bytes))).Errors);

        Assert.Equal(("blk.0.attn_q_norm.weight", "F16", "must be F32"), (error.Key, error.Value, error.Rule));
    }

    [Fact]
    public void A_model_of_a_thousand_missing_layers_is_twenty_errors() =>
        Assert.Equal(20, Refused(TinyModel.Create(), writer => writer.Set("llama.block_count", 1024u)).Count);

    [Fact]
    public void The_hash_is_that_of_the_weights_and_not_of_the_path()
    {
        var bytes = TinyModel.Create().ToArray();
        var hash = Hash(bytes);

        Assert.Equal(32, hash.Length);
        Assert.Equal(hash, Hash(bytes, "elsewhere.gguf"));
        bytes[^1] ^= 1;
        Assert.NotEqual(hash, Hash(bytes));
        bytes[^1] ^= 1;
        Assert.NotEqual(hash, Hash([.. bytes, 0]));
        var renamed = TinyModel.Create();
        renamed.Set("general.name", "ynit");
        Assert.NotEqual(hash, Hash(renamed.ToArray()));
    }

    private byte[] Hash(byte[] bytes, string name = "model.gguf")
    {
        using var model = ModelFile.Open(_folder.Write(name, bytes));
        return model.Hash;
    }

    private ModelConfig Read(GgufWriter writer, Action<GgufWriter> change)
    {
        change(writer);
        using var model = ModelFile.Open(_folder.Write("model.gguf", writer.ToArray()));
        return model.Config;
    }

    private IReadOnlyList<InputError> Refused(GgufWriter writer, Action<GgufWriter>? change = null)
    {
        change?.Invoke(writer);
        var path = _folder.Write("model.gguf", writer.ToArray());
        var errors = Assert.Throws<InvalidInputException>(() => ModelFile.Open(path)).Errors;
        Assert.All(errors, error => Assert.Equal(path, error.Source));
        return errors;
    }
}
