using System.Text.Json;

namespace Distributed.Core.HuggingFace;

/// <summary>The table of model types whose folders this build reads.</summary>
internal static class HuggingFaceArchitectures
{
    private static readonly string[] TanhGelu = ["gelu_pytorch_tanh", "gelu_new", "gelu_fast"];

    private static readonly Dictionary<string, string> GemmaNames = new()
    {
        ["post_attention_norm"] = "post_attention_layernorm",
        ["ffn_norm"] = "pre_feedforward_layernorm",
        ["post_ffw_norm"] = "post_feedforward_layernorm",
    };

    private static readonly HuggingFaceArchitecture Gemma3 = new("gemma3_text", "gemma3")
    {
        Activations = TanhGelu,
        AddsOneToNorms = true,
        HasWindow = true,
        Names = GemmaNames,
        Defaults = JsonElement.Parse("""
            {
              "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208, "rms_norm_eps": 1e-6,
              "max_position_embeddings": 131072, "rope_theta": 1e6, "query_pre_attn_scalar": 256, "sliding_window": 4096
            }
            """),
    };

    private static readonly HuggingFaceArchitecture Olmo2 = new("olmo2", "olmo2")
    {
        Names = new Dictionary<string, string>
        {
            ["post_attention_norm"] = "post_attention_layernorm",
            ["post_ffw_norm"] = "post_feedforward_layernorm",
        },
    };

    /// <summary>Every model type.</summary>
    public static IReadOnlyList<HuggingFaceArchitecture> All { get; } =
    [
        new("llama", "llama") { TurnsHalves = true },
        new("mistral", "llama") { TurnsHalves = true },
        new("mixtral", "llama")
        {
            TurnsHalves = true,
            Names = new Dictionary<string, string>
            {
                ["ffn_gate_inp"] = "block_sparse_moe.gate",
                ["ffn_gate_exps"] = "block_sparse_moe.experts.{n}.w1",
                ["ffn_down_exps"] = "block_sparse_moe.experts.{n}.w2",
                ["ffn_up_exps"] = "block_sparse_moe.experts.{n}.w3",
            },
        },
        new("qwen2", "qwen2"),
        new("qwen3", "qwen3"),
        new("qwen3_moe", "qwen3moe")
        {
            Names = new Dictionary<string, string>
            {
                ["ffn_gate_inp"] = "mlp.gate",
                ["ffn_gate_exps"] = "mlp.experts.{n}.gate_proj",
                ["ffn_up_exps"] = "mlp.experts.{n}.up_proj",
                ["ffn_down_exps"] = "mlp.experts.{n}.down_proj",
            },
        },
        new("phi3", "phi3")
        {
            Names = new Dictionary<string, string>
            {
                ["attn_qkv"] = "self_attn.qkv_proj",
                ["ffn_up"] = "mlp.gate_up_proj",
            },
        },
        new("gemma2", "gemma2")
        {
            // The plain name is written in its older files, and means the tanh form there too.
            Activations = [.. TanhGelu, "gelu"],
            AddsOneToNorms = true,
            HasWindow = true,
            FixedLayersPerGlobalOne = 2,
            Names = GemmaNames,
        },
        Gemma3,
        Gemma3 with { ModelType = "gemma3", MayHaveImages = true },
        new("gpt_oss", "gpt-oss")
        {
            HasWindow = true,
            FixedLayersPerGlobalOne = 2,
            Names = new Dictionary<string, string>
            {
                ["attn_sinks.weight"] = "self_attn.sinks",
                ["post_attention_norm"] = "post_attention_layernorm",
                ["ffn_gate_inp"] = "mlp.router",
            },
            Special = GptOssExperts.Find,
        },
        Olmo2,
        Olmo2 with { ModelType = "olmo3", HasWindow = true },
        new("smollm3", "smollm3") { TurnsHalves = true },
        new("granite", "granite") { TurnsHalves = true },
        new("starcoder2", "starcoder2")
        {
            Activations = TanhGelu,
            Names = new Dictionary<string, string>
            {
                ["ffn_up"] = "mlp.c_fc",
                ["ffn_down"] = "mlp.c_proj",
            },
        },
        new("stablelm", "stablelm")
        {
            RotaryPart = 0.25f,
            Names = new Dictionary<string, string>
            {
                ["attn_q_norm"] = "self_attn.q_layernorm.norms.{n}",
                ["attn_k_norm"] = "self_attn.k_layernorm.norms.{n}",
            },
        },
        new("glm4", "glm4")
        {
            RotaryPart = 0.5f,
            Names = new Dictionary<string, string>
            {
                ["post_attention_norm"] = "post_self_attn_layernorm",
                ["ffn_norm"] = "post_attention_layernorm",
                ["post_ffw_norm"] = "post_mlp_layernorm",
                ["ffn_up"] = "mlp.gate_up_proj",
            },
        },
        new("cohere", "command-r"),
        new("cohere2", "cohere2") { HasWindow = true },
    ];

    /// <summary>The row of a model type.</summary>
    /// <param name="type">As in <c>model_type</c>; null where there is none.</param>
    /// <param name="source">The file, for the error.</param>
    /// <exception cref="InvalidInputException">There is none; the error says which there are.</exception>
    public static HuggingFaceArchitecture ByModelType(string? type, string source) =>
        All.FirstOrDefault(row => row.ModelType == type)
        ?? throw new InvalidInputException(
            "model_type", type, $"must be one of {string.Join(", ", All.Select(row => row.ModelType))}", source);
}
