namespace Distributed.Core;

/// <summary>What no key in a file says about an architecture.</summary>
/// <param name="Name">As in <c>general.architecture</c>.</param>
/// <param name="RopePairs">Which values of a head are rotated together.</param>
/// <param name="Tensors">All that a model of it may have; any other is refused, since leaving it out could give wrong answers.</param>
public sealed record Architecture(string Name, RopePairs RopePairs, IReadOnlyList<TensorSpec> Tensors);

/// <summary>The table of architectures this build runs.</summary>
public static class Architectures
{
    /// <summary>Every architecture.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        new("llama", RopePairs.Neighbours,
        [
            new(TensorRole.Input, TensorNames.TokenEmbedding, c => [c.HiddenSize, c.VocabSize]),
            new(TensorRole.Shared, TensorNames.RopeFactors, c => [c.Rope.Dimensions / 2], IsOptional: true),
            new(TensorRole.Repeating, "attn_norm.weight", c => [c.HiddenSize]),
            new(TensorRole.Repeating, "attn_q.weight", c => [c.HiddenSize, c.QuerySize]),
            new(TensorRole.Repeating, "attn_k.weight", c => [c.HiddenSize, c.KvSize]),
            new(TensorRole.Repeating, "attn_v.weight", c => [c.HiddenSize, c.KvSize]),
            new(TensorRole.Repeating, "attn_output.weight", c => [c.QuerySize, c.HiddenSize]),
            new(TensorRole.Repeating, "ffn_norm.weight", c => [c.HiddenSize]),
            new(TensorRole.Repeating, "ffn_gate.weight", c => [c.HiddenSize, c.IntermediateSize]),
            new(TensorRole.Repeating, "ffn_up.weight", c => [c.HiddenSize, c.IntermediateSize]),
            new(TensorRole.Repeating, "ffn_down.weight", c => [c.IntermediateSize, c.HiddenSize]),
            new(TensorRole.Output, TensorNames.OutputNorm, c => [c.HiddenSize]),
            new(TensorRole.Output, TensorNames.Output, c => [c.HiddenSize, c.VocabSize], IsOptional: true, TensorNames.TokenEmbedding),
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
