using Distributed.Core;

namespace Distributed.Testing;

/// <summary>Writes down a model's shape as a <c>config.json</c> has it, with the keys that its model type uses.</summary>
internal static class HuggingFaceConfigWriter
{
    private static readonly HashSet<string> CentredTypes = ["starcoder2", "stablelm", "cohere", "cohere2"];

    /// <summary>The config of a model.</summary>
    public static Dictionary<string, object?> Of(ModelFile model, string modelType)
    {
        var c = model.Config;
        var config = new Dictionary<string, object?>
        {
            ["model_type"] = modelType,
            ["architectures"] = new[] { "ForCausalLM" },
            ["hidden_size"] = c.HiddenSize,
            ["intermediate_size"] = c.IntermediateSize,
            ["num_hidden_layers"] = c.NumLayers,
            ["num_attention_heads"] = c.NumHeads,
            ["num_key_value_heads"] = c.NumKvHeads,
            ["head_dim"] = c.HeadDim,
            ["vocab_size"] = c.VocabSize,
            ["max_position_embeddings"] = c.ContextLength,
            ["rope_theta"] = c.Rope.Theta,
            ["rope_scaling"] = null,
            ["hidden_act"] = modelType is "starcoder2" || modelType.StartsWith("gemma", StringComparison.Ordinal) ? "gelu_pytorch_tanh" : "silu",
            ["tie_word_embeddings"] = !model.Tensors.ContainsKey(TensorNames.Output),
            ["torch_dtype"] = "float32",
        };
        config[modelType == "starcoder2" ? "norm_epsilon" : CentredTypes.Contains(modelType) ? "layer_norm_eps" : "rms_norm_eps"] = c.RmsNormEps;
        if (c.Rope.Dimensions != c.HeadDim)
            config["partial_rotary_factor"] = c.Rope.Dimensions / (float)c.HeadDim;
        else if (modelType is "glm4" or "stablelm")
            config["partial_rotary_factor"] = 1;
        if (c.Experts is { } experts)
            AddExperts(config, modelType, experts);
        AddScaling(config, model);
        AddOwnKeys(config, modelType, c);
        return config;
    }

    private static void AddExperts(Dictionary<string, object?> config, string modelType, ExpertsConfig experts)
    {
        config[modelType == "qwen3_moe" ? "num_experts" : "num_local_experts"] = experts.Count;
        config["num_experts_per_tok"] = experts.PerToken;
        config[modelType == "qwen3_moe" ? "moe_intermediate_size" : "intermediate_size"] = experts.IntermediateSize;
        if (modelType == "qwen3_moe")
            config["norm_topk_prob"] = true;
    }

    private static void AddScaling(Dictionary<string, object?> config, ModelFile model)
    {
        var rope = model.Config.Rope;
        if (model.Tensors.ContainsKey(TensorNames.RopeFactors))
        {
            config["rope_scaling"] = new
            {
                rope_type = "llama3",
                factor = 8.0,
                low_freq_factor = 1.0,
                high_freq_factor = 4.0,
                original_max_position_embeddings = 8192,
            };
        }
        else if (model.Tensors.TryGetValue(TensorNames.LongRopeFactors, out var longFactors))
        {
            config["original_max_position_embeddings"] = rope.OriginalContext;
            config["rope_scaling"] = new
            {
                type = "longrope",
                long_factor = Values(longFactors),
                short_factor = Values(model.Tensors[TensorNames.ShortRopeFactors]),
            };
        }
        else if (rope.Yarn is not null)
        {
            config["rope_scaling"] = new
            {
                rope_type = "yarn",
                factor = rope.LinearFactor,
                original_max_position_embeddings = rope.OriginalContext,
            };
        }
        else if (rope.LinearFactor != 1)
        {
            config["rope_scaling"] = new { type = "linear", factor = rope.LinearFactor };
        }
    }

    private static void AddOwnKeys(Dictionary<string, object?> config, string modelType, ModelConfig c)
    {
        if (c.SlidingWindow is { } window)
            config["sliding_window"] = window;
        switch (modelType)
        {
            case "gemma2":
                config["attn_logit_softcapping"] = c.AttentionSoftCap;
                config["final_logit_softcapping"] = c.LogitSoftCap;
                config["query_pre_attn_scalar"] = c.HeadDim;
                break;
            case "gemma3_text":
                config["query_pre_attn_scalar"] = c.HeadDim;
                config["rope_local_base_freq"] = 10_000;
                config["sliding_window_pattern"] = 6;
                break;
            case "gpt_oss":
                config["layer_types"] = Kinds(c.NumLayers, 2);
                config["swiglu_limit"] = 7.0;
                break;
            case "cohere2" or "olmo3":
                config["layer_types"] = Kinds(c.NumLayers, 4);
                break;
            case "smollm3":
                config["no_rope_layers"] = Enumerable.Range(0, c.NumLayers).Select(layer => (layer + 1) % 4 == 0 ? 0 : 1);
                break;
            case "granite":
                config["embedding_multiplier"] = c.EmbeddingScale;
                config["attention_multiplier"] = c.AttentionScale;
                config["residual_multiplier"] = c.ResidualScale;
                config["logits_scaling"] = c.LogitScale;
                break;
            default:
                break;
        }
        if (modelType is "cohere" or "cohere2")
            config["logit_scale"] = c.LogitScale;
    }

    private static string[] Kinds(int layers, int period) =>
        [.. Enumerable.Range(0, layers).Select(layer => (layer + 1) % period == 0 ? "full_attention" : "sliding_attention")];

    private static float[] Values(Tensor tensor)
    {
        var values = new float[tensor.Columns];
        tensor.DequantizeRow(0, values);
        return values;
    }
}
