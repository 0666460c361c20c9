namespace Distributed.Core;

/// <summary>Groups of tensors that architectures are put together from.</summary>
internal static class ArchitectureTensors
{
    private const string FusedQkv = "attn_qkv.weight";

    /// <summary>The token embedding.</summary>
    public static IReadOnlyList<TensorSpec> Embedding { get; } =
        [new(TensorRole.Input, TensorNames.TokenEmbedding, c => [c.HiddenSize, c.VocabSize])];

    /// <summary>The final norm and the output matrix; a file without the latter uses the embedding.</summary>
    public static IReadOnlyList<TensorSpec> Head { get; } =
    [
        new(TensorRole.Output, TensorNames.OutputNorm, c => [c.HiddenSize]),
        new(TensorRole.Output, TensorNames.Output, c => [c.HiddenSize, c.VocabSize], IsOptional: true, TensorNames.TokenEmbedding),
    ];

    /// <summary>The bias of the final norm.</summary>
    public static TensorSpec HeadBias { get; } = new(TensorRole.Output, TensorNames.OutputNormBias, c => [c.HiddenSize]);

    /// <summary>Matrices of queries, keys and values: three, or one that holds them one after the other.</summary>
    public static IReadOnlyList<TensorSpec> Qkv { get; } =
    [
        Layer(FusedQkv, c => [c.HiddenSize, c.QuerySize + (2 * c.KvSize)], isOptional: true) with
        {
            Parts = c => [("attn_q.weight", c.QuerySize), ("attn_k.weight", c.KvSize), ("attn_v.weight", c.KvSize)],
        },
        Layer("attn_q.weight", c => [c.HiddenSize, c.QuerySize]) with { FusedIn = FusedQkv },
        Layer("attn_k.weight", c => [c.HiddenSize, c.KvSize]) with { FusedIn = FusedQkv },
        Layer("attn_v.weight", c => [c.HiddenSize, c.KvSize]) with { FusedIn = FusedQkv },
    ];

    /// <summary>The matrix behind attention.</summary>
    public static IReadOnlyList<TensorSpec> AttentionOutput { get; } =
        [Layer("attn_output.weight", c => [c.QuerySize, c.HiddenSize])];

    /// <summary>Norms of each head of queries and keys.</summary>
    public static IReadOnlyList<TensorSpec> HeadNorms { get; } =
        [Layer("attn_q_norm.weight", c => [c.HeadDim]), Layer("attn_k_norm.weight", c => [c.HeadDim])];

    /// <summary>Norms of queries and keys that run over all heads together.</summary>
    public static IReadOnlyList<TensorSpec> WideNorms { get; } =
        [Layer("attn_q_norm.weight", c => [c.QuerySize]), Layer("attn_k_norm.weight", c => [c.KvSize])];

    /// <summary>Norms of queries and keys with weights of their own for each head, of models that have them.</summary>
    public static IReadOnlyList<TensorSpec> NormsOfEachHead { get; } =
    [
        Layer("attn_q_norm.weight", c => [c.HeadDim, c.NumHeads], isOptional: true),
        Layer("attn_k_norm.weight", c => [c.HeadDim, c.NumKvHeads], isOptional: true),
    ];

    /// <summary>Biases of queries, keys and values.</summary>
    public static IReadOnlyList<TensorSpec> QkvBiases(bool isOptional = false) =>
    [
        Layer("attn_q.bias", c => [c.QuerySize], isOptional),
        Layer("attn_k.bias", c => [c.KvSize], isOptional),
        Layer("attn_v.bias", c => [c.KvSize], isOptional),
    ];

    /// <summary>A gated feed-forward network whose gate and other half are one matrix.</summary>
    public static IReadOnlyList<TensorSpec> FusedFeedForward { get; } =
    [
        Layer("ffn_up.weight", c => [c.HiddenSize, 2 * c.IntermediateSize]) with
        {
            Parts = c => [("ffn_gate.weight", c.IntermediateSize), ("ffn_up.weight", c.IntermediateSize)],
        },
        Layer("ffn_down.weight", c => [c.IntermediateSize, c.HiddenSize]),
    ];

    /// <summary>Divisors of the rotary frequencies.</summary>
    public static TensorSpec RopeFactors(string name) =>
        new(TensorRole.Shared, name, c => [c.Rope.Dimensions / 2], IsOptional: true);

    /// <summary>A norm of the hidden state in each layer, by its name without <c>.weight</c>.</summary>
    public static TensorSpec Norm(string name, bool isOptional = false) => Layer($"{name}.weight", c => [c.HiddenSize], isOptional);

    /// <summary>A centred norm of the hidden state in each layer, with its bias, by its name without <c>.weight</c>.</summary>
    public static IReadOnlyList<TensorSpec> LayerNorm(string name, bool isOptional = false) =>
        [Norm(name, isOptional), Bias($"{name}.bias", isOptional)];

    /// <summary>The bias of what is added to the hidden state, or of a norm.</summary>
    public static TensorSpec Bias(string name, bool isOptional = false) => Layer(name, c => [c.HiddenSize], isOptional);

    /// <summary>The three matrices of a gated feed-forward network.</summary>
    public static IReadOnlyList<TensorSpec> GatedFeedForward(Func<ModelConfig, bool>? when = null) =>
    [
        Layer("ffn_gate.weight", c => [c.HiddenSize, c.IntermediateSize], when: when),
        Layer("ffn_up.weight", c => [c.HiddenSize, c.IntermediateSize], when: when),
        Layer("ffn_down.weight", c => [c.IntermediateSize, c.HiddenSize], when: when),
    ];

    /// <summary>The router and the experts' matrices, one expert after the other; of models that have experts.</summary>
    public static IReadOnlyList<TensorSpec> Experts() =>
    [
        Expert("ffn_gate_inp.weight", (c, e) => [c.HiddenSize, e.Count]),
        Expert("ffn_gate_exps.weight", (c, e) => [c.HiddenSize, e.IntermediateSize, e.Count]),
        Expert("ffn_up_exps.weight", (c, e) => [c.HiddenSize, e.IntermediateSize, e.Count]),
        Expert("ffn_down_exps.weight", (c, e) => [e.IntermediateSize, c.HiddenSize, e.Count]),
    ];

    /// <summary>Biases of the router and of each expert's matrices.</summary>
    public static IReadOnlyList<TensorSpec> ExpertBiases() =>
    [
        Expert("ffn_gate_inp.bias", (_, e) => [e.Count]),
        Expert("ffn_gate_exps.bias", (_, e) => [e.IntermediateSize, e.Count]),
        Expert("ffn_up_exps.bias", (_, e) => [e.IntermediateSize, e.Count]),
        Expert("ffn_down_exps.bias", (c, e) => [c.HiddenSize, e.Count]),
    ];

    /// <summary>A tensor that each layer has.</summary>
    public static TensorSpec Layer(
        string name, Func<ModelConfig, long[]> shape, bool isOptional = false, Func<ModelConfig, bool>? when = null) =>
        new(TensorRole.Repeating, name, shape, isOptional, When: when);

    private static TensorSpec Expert(string name, Func<ModelConfig, ExpertsConfig, long[]> shape) =>
        Layer(name, c => shape(c, c.Experts!), when: c => c.Experts is not null);
}
