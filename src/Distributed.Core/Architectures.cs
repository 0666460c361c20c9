using static Distributed.Core.ArchitectureTensors;

namespace Distributed.Core;

/// <summary>What no key in a file says about an architecture.</summary>
/// <param name="Name">As in <c>general.architecture</c>.</param>
/// <param name="RopePairs">Which values of a head are rotated together.</param>
/// <param name="Tensors">All that a model of it may have; any other is refused, since leaving it out could give wrong answers.</param>
public sealed record Architecture(string Name, RopePairs RopePairs, IReadOnlyList<TensorSpec> Tensors)
{
    /// <summary>
    /// The base of the rotary frequencies, unscaled, in layers with a window, from that of the others; null where all are the same.
    /// </summary>
    public Func<float, float>? LocalRopeTheta { get; init; }

    /// <summary>A model without experts is none.</summary>
    public bool NeedsExperts { get; init; }
}

/// <summary>The table of architectures this build runs.</summary>
public static class Architectures
{
    /// <summary>Every architecture.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        new("llama", RopePairs.Neighbours,
        [
            .. Embedding, RopeFactors(TensorNames.RopeFactors),
            Norm("attn_norm"), .. Qkv, .. QkvBiases(isOptional: true), .. AttentionOutput,
            Norm("ffn_norm"), .. GatedFeedForward(c => c.Experts is null), .. Experts(),
            .. Head,
        ]),
        new("qwen2", RopePairs.Halves,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. QkvBiases(), .. AttentionOutput,
            Norm("ffn_norm"), .. GatedFeedForward(),
            .. Head,
        ]),
        new("qwen3", RopePairs.Halves,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. HeadNorms, .. AttentionOutput,
            Norm("ffn_norm"), .. GatedFeedForward(),
            .. Head,
        ]),
        new("qwen3moe", RopePairs.Halves,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. HeadNorms, .. AttentionOutput,
            Norm("ffn_norm"), .. Experts(),
            .. Head,
        ]) { NeedsExperts = true },
        new("phi3", RopePairs.Halves,
        [
            .. Embedding, RopeFactors(TensorNames.LongRopeFactors), RopeFactors(TensorNames.ShortRopeFactors),
            Norm("attn_norm"), .. Qkv, .. AttentionOutput,
            Norm("ffn_norm"), .. FusedFeedForward,
            .. Head,
        ]),
        new("gemma2", RopePairs.Halves,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. AttentionOutput, Norm("post_attention_norm"),
            Norm("ffn_norm"), .. GatedFeedForward(), Norm("post_ffw_norm"),
            .. Head,
        ]),
        new("gemma3", RopePairs.Halves,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. HeadNorms, .. AttentionOutput, Norm("post_attention_norm"),
            Norm("ffn_norm"), .. GatedFeedForward(), Norm("post_ffw_norm"),
            .. Head,
        ]) { LocalRopeTheta = _ => 10_000 },
        new("gpt-oss", RopePairs.Halves,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. QkvBiases(), .. AttentionOutput,
            Bias("attn_output.bias"), Layer("attn_sinks.weight", c => [c.NumHeads]),
            Norm("post_attention_norm"), .. Experts(), .. ExpertBiases(),
            .. Head,
        ]) { NeedsExperts = true },
        new("olmo2", RopePairs.Halves,
        [
            .. Embedding,
            .. Qkv, .. WideNorms, .. AttentionOutput, Norm("post_attention_norm"),
            .. GatedFeedForward(), Norm("post_ffw_norm"),
            .. Head,
        ]) { LocalRopeTheta = theta => theta },
        new("smollm3", RopePairs.Neighbours,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. QkvBiases(isOptional: true), .. AttentionOutput,
            Norm("ffn_norm"), .. GatedFeedForward(),
            .. Head,
        ]),
        new("granite", RopePairs.Neighbours,
        [
            .. Embedding, RopeFactors(TensorNames.RopeFactors),
            Norm("attn_norm"), .. Qkv, .. QkvBiases(isOptional: true), .. AttentionOutput, Bias("attn_output.bias", isOptional: true),
            Norm("ffn_norm"), .. GatedFeedForward(),
            .. Head,
        ]),
        new("starcoder2", RopePairs.Halves,
        [
            .. Embedding,
            .. LayerNorm("attn_norm"), .. Qkv, .. QkvBiases(isOptional: true), .. AttentionOutput, Bias("attn_output.bias"),
            .. LayerNorm("ffn_norm"),
            Layer("ffn_up.weight", c => [c.HiddenSize, c.IntermediateSize]), Layer("ffn_up.bias", c => [c.IntermediateSize]),
            Layer("ffn_down.weight", c => [c.IntermediateSize, c.HiddenSize]), Bias("ffn_down.bias"),
            .. Head, HeadBias,
        ]),
        new("stablelm", RopePairs.Halves,
        [
            .. Embedding,
            .. LayerNorm("attn_norm"), .. Qkv, .. QkvBiases(isOptional: true), .. NormsOfEachHead, .. AttentionOutput,
            .. LayerNorm("ffn_norm", isOptional: true), .. GatedFeedForward(),
            .. Head, HeadBias,
        ]),
        new("glm4", RopePairs.Neighbours,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. QkvBiases(isOptional: true), .. AttentionOutput, Norm("post_attention_norm"),
            Norm("ffn_norm"), .. FusedFeedForward, Norm("post_ffw_norm"),
            .. Head,
        ]),
        new("command-r", RopePairs.Neighbours,
        [
            .. Embedding,
            Norm("attn_norm"), .. Qkv, .. QkvBiases(isOptional: true), .. NormsOfEachHead, .. AttentionOutput,
            .. GatedFeedForward(),
            .. Head,
        ]),
        new("cohere2", RopePairs.Neighbours,
        [
            .. Embedding, RopeFactors(TensorNames.RopeFactors),
            Norm("attn_norm"), .. Qkv, .. QkvBiases(isOptional: true), .. AttentionOutput,
            .. GatedFeedForward(),
            .. Head,
        ]),
    ];

    /// <summary>The architecture of a name.</summary>
    /// <param name="name">As in <c>general.architecture</c>.</param>
    /// <param name="source">The file, for the error.</param>
    /// <exception cref="InvalidInputException">There is none; the error says which there are.</exception>
    public static Architecture ByName(string name, string? source = null) =>
        All.FirstOrDefault(architecture => architecture.Name == name)
        ?? throw new InvalidInputException("general.architecture", name,
            $"must be one of {string.Join(", ", All.Select(architecture => architecture.Name))}", source);
}
