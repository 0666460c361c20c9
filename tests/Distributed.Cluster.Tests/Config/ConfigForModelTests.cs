using Distributed.Cluster.Config;

namespace Distributed.Cluster.Tests.Config;

/// <summary>Rules that take the model to judge.</summary>
public class ConfigForModelTests
{
    private static readonly ModelConfig Model = new()
    {
        Architecture = "llama",
        Name = "synthetic",
        HiddenSize = 8192,
        IntermediateSize = 16384,
        NumLayers = 4,
        NumHeads = 8,
        NumKvHeads = 8,
        HeadDim = 64,
        VocabSize = 32000,
        ContextLength = 8192,
        RmsNormEps = 1e-5f,
        Rope = new RopeConfig(10000, 64, RopePairs.Neighbours),
    };

    [Theory]
    [InlineData(64, KvType.Q8_0, null)]
    [InlineData(48, KvType.F16, null)]
    [InlineData(48, KvType.F32, null)]
    [InlineData(48, KvType.Q8_0, "c.yaml:5: kv-type is q8_0: needs a head size that is a multiple of 32; the model's is 48")]
    public void Keys_in_blocks_need_heads_of_whole_blocks(int headDim, KvType type, string? error) =>
        Assert.Equal(error, Check("kv-type", type.ToName(), Model with { HeadDim = headDim }));

    [Theory]
    [InlineData(8160, 8192, null)]
    [InlineData(
        8161, 8192,
        "c.yaml:5: max-batch-tokens is 8161: must be at most 8160: a token's hidden state takes 32768 bytes, and those of a step must fit 267386880")]
    [InlineData(8192, 4096, null)]
    public void Hidden_states_of_a_step_must_fit_a_message(int tokens, int hidden, string? error) =>
        Assert.Equal(error, Check("max-batch-tokens", $"{tokens}", Model with { HiddenSize = hidden }));

    [Fact]
    public void Logits_of_a_step_must_fit_an_array() =>
        Assert.Equal(
            "c.yaml:5: max-batch-tokens is 8192: must be at most 8191 with synthetic",
            Check("max-batch-tokens", "8192", Model with { HiddenSize = 2048, VocabSize = 1 << 18 }));

    private static string? Check(string key, string value, ModelConfig model)
    {
        var yaml = $"model: m.gguf\nworkers:\n  - name: one\n    address: 127.0.0.1:7101\n{key}: {value}";
        return ClusterValidator.Check(ClusterFile.Parse(yaml, "c.yaml", "/clusters"), model).SingleOrDefault()?.ToString();
    }
}
