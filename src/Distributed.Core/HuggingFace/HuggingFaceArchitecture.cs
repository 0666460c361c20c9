using System.Text.Json;

namespace Distributed.Core.HuggingFace;

/// <summary>What no key in a folder says about an architecture: how its files differ from this project's tensors.</summary>
/// <param name="ModelType">As in <c>model_type</c>.</param>
/// <param name="Name">The architecture's name in <see cref="Architectures"/>.</param>
internal sealed record HuggingFaceArchitecture(string ModelType, string Name)
{
    // By this project's name without its suffix, which the files have too.
    private static readonly Dictionary<string, string> CommonNames = new()
    {
        ["token_embd"] = "model.embed_tokens",
        ["output_norm"] = "model.norm",
        ["output"] = "lm_head",
        ["attn_norm"] = "input_layernorm",
        ["attn_q"] = "self_attn.q_proj",
        ["attn_k"] = "self_attn.k_proj",
        ["attn_v"] = "self_attn.v_proj",
        ["attn_output"] = "self_attn.o_proj",
        ["attn_q_norm"] = "self_attn.q_norm",
        ["attn_k_norm"] = "self_attn.k_norm",
        ["ffn_norm"] = "post_attention_layernorm",
        ["ffn_gate"] = "mlp.gate_proj",
        ["ffn_up"] = "mlp.up_proj",
        ["ffn_down"] = "mlp.down_proj",
    };

    /// <summary>The names that <c>hidden_act</c> may have for what stands between the matrices; all mean the same.</summary>
    public IReadOnlyList<string> Activations { get; init; } = ["silu", "swish"];

    /// <summary>
    /// Queries and keys turn by halves here and by neighbours in a GGUF, whose rows are permuted. Not the rows but what comes out
    /// of them is put in that order (<see cref="RopePairs.HalvesToNeighbours"/>): weights stay in place, scores have the same bits.
    /// </summary>
    public bool TurnsHalves { get; init; }

    /// <summary>The part of each head that is turned, where no key says it.</summary>
    public float RotaryPart { get; init; } = 1;

    /// <summary>Norms multiply by their weight plus one.</summary>
    public bool AddsOneToNorms { get; init; }

    /// <summary>Some layers see a window, as <c>sliding_window</c> says; of other architectures the key is not used.</summary>
    public bool HasWindow { get; init; }

    /// <summary>The one number of layers of which the last sees all keys that this build knows; null where it is free.</summary>
    public int? FixedLayersPerGlobalOne { get; init; }

    /// <summary>Values that a <c>config.json</c> may leave out; null for none.</summary>
    public JsonElement? Defaults { get; init; }

    /// <summary>The files may hold a model of images beside that of text.</summary>
    public bool MayHaveImages { get; init; }

    /// <summary>
    /// Names other than the common ones, by this project's name with its suffix, or without it where the files have the same. Each
    /// <c>{n}</c> stands for many: one tensor for each expert, or each head.
    /// </summary>
    public IReadOnlyDictionary<string, string> Names { get; init; } = new Dictionary<string, string>();

    /// <summary>Makes tensors of layers that are laid out in a way of their own; gives null for all others.</summary>
    public Func<TensorSpec, int, HuggingFaceTensors, Tensor?>? Special { get; init; }

    /// <summary>The name in the files of a tensor; null for one that is not in the files.</summary>
    /// <param name="spec">The tensor: <c>attn_q.weight</c> → <c>model.layers.0.self_attn.q_proj.weight</c>.</param>
    /// <param name="layer">The layer of a repeating one; others ignore it.</param>
    public string? NameOf(TensorSpec spec, int layer)
    {
        var dot = spec.Name.LastIndexOf('.');
        var stem = spec.Name[..dot];
        var name = Names.GetValueOrDefault(spec.Name)
            ?? ((Names.GetValueOrDefault(stem) ?? CommonNames.GetValueOrDefault(stem)) is { } found ? found + spec.Name[dot..] : null);
        return name is not null && spec.Role == TensorRole.Repeating ? $"model.layers.{layer}.{name}" : name;
    }
}
