using System.Text.Json;
using static Distributed.Core.ModelLimits;

namespace Distributed.Core.HuggingFace;

/// <summary>What a folder's <c>config.json</c> says.</summary>
/// <param name="Row">How the architecture's files differ.</param>
/// <param name="Model">The model's shape.</param>
/// <param name="RopeFactors">Divisors of rotary frequencies, by the name of the tensor that a GGUF has them in.</param>
/// <param name="IsTied">The embedding is the output matrix; null leaves it to the files.</param>
internal sealed record HuggingFaceConfig(
    HuggingFaceArchitecture Row, ModelConfig Model, IReadOnlyDictionary<string, float[]> RopeFactors, bool? IsTied)
{
    /// <summary>Reads the shape of a model, and reports everything that is wrong with it at once.</summary>
    /// <param name="json">The object in the file.</param>
    /// <param name="path">The file.</param>
    /// <param name="name">The model's name.</param>
    /// <exception cref="InvalidInputException">The architecture is not known, or a value is missing or breaks a rule.</exception>
    public static HuggingFaceConfig Read(JsonElement json, string path, string name)
    {
        var row = HuggingFaceArchitectures.ByModelType(json.FindString("model_type"), path);
        var errors = new List<InputError>();
        CheckQuantization(json, path, errors);
        // A model of images and text has a config for each.
        var values = row.MayHaveImages && json.Find("text_config") is { } inner
            ? new ConfigValues(inner, path, "text_config.", errors, row.Defaults)
            : new ConfigValues(json, path, "", errors, row.Defaults);
        var config = new Reader(values, row, errors).Read(name);
        var tied = values.Bool("tie_word_embeddings") ?? json.FindBool("tie_word_embeddings");
        return errors.Count == 0
            ? new HuggingFaceConfig(row, config.Model, config.Factors, tied)
            : throw new InvalidInputException(errors);
    }

    private static void CheckQuantization(JsonElement json, string path, List<InputError> errors)
    {
        // gpt-oss is published with its experts as MXFP4, which is a type here.
        if (json.Find("quantization_config") is { } quantization && quantization.FindString("quant_method") is var method and not "mxfp4")
        {
            errors.Add(new InputError("quantization_config.quant_method", method,
                "is not read: weights must be F32, F16 or BF16; quantised ones are read from GGUF files", path));
        }
    }

    private sealed class Reader(ConfigValues values, HuggingFaceArchitecture row, List<InputError> errors)
    {
        private readonly Architecture _architecture = Architectures.ByName(row.Name);

        public (ModelConfig Model, IReadOnlyDictionary<string, float[]> Factors) Read(string name)
        {
            var known = errors.Count;
            var hidden = values.Int("hidden_size", 1, MaxWidth);
            var heads = values.Int("num_attention_heads", 1, MaxHeads);
            var kvHeads = values.Int("num_key_value_heads", 1, MaxHeads, heads);
            // What is wrong by itself has a stand-in here, and one error is enough.
            var areKnown = errors.Count == known;
            if (areKnown && heads % kvHeads != 0)
                values.Fail("num_key_value_heads", $"must divide the number of heads, {heads}");
            var headDim = values.Int("head_dim", 2, ModelConfig.MaxHeadDim, hidden / heads);
            if (areKnown && !values.Has("head_dim") && (hidden % heads != 0 || headDim is < 2 or > ModelConfig.MaxHeadDim))
                values.Fail("num_attention_heads", $"must divide hidden_size, {hidden}, in heads of 2 to {ModelConfig.MaxHeadDim} values");
            var layers = values.Int("num_hidden_layers", 1, MaxLayers);
            var context = values.Int(values.FirstOf("model_max_length", "max_position_embeddings"), 1, MaxContext);
            var rope = new HuggingFaceRope(values, row, _architecture, Math.Clamp(headDim, 2, ModelConfig.MaxHeadDim), context);
            var global = rope.ReadGlobal();
            var experts = Experts();
            CheckFixed(layers);
            var model = new ModelConfig
            {
                Architecture = row.Name,
                Name = name,
                HiddenSize = hidden,
                IntermediateSize = values.Int("intermediate_size", 1, MaxWidth, experts?.IntermediateSize),
                NumLayers = layers,
                NumHeads = heads,
                NumKvHeads = kvHeads,
                HeadDim = headDim,
                VocabSize = values.Int("vocab_size", 1, MaxVocab),
                ContextLength = context,
                RmsNormEps = values.Float(
                    values.FirstOf("rms_norm_eps", "layer_norm_eps", "norm_epsilon", "layer_norm_epsilon"), 0, 1),
                Rope = global,
                LocalRope = rope.ReadLocal(global),
                Experts = experts,
                SlidingWindow = row.HasWindow && values.Has("sliding_window") ? values.Int("sliding_window", 1, MaxContext) : null,
                LayersPerGlobalOne = LayersPerGlobalOne(layers),
                AttentionScale = values.Factor("query_pre_attn_scalar") is { } size
                    ? 1 / MathF.Sqrt(size)
                    : values.Factor("attention_multiplier"),
                AttentionSoftCap = values.Factor("attn_logit_softcapping"),
                LogitSoftCap = values.Factor("final_logit_softcapping"),
                EmbeddingScale = values.Factor("embedding_multiplier"),
                ResidualScale = values.Factor("residual_multiplier"),
                LogitScale = values.Factor(values.FirstOf("logits_scaling", "logit_scale")),
            };
            return (model, rope.Factors);
        }

        private ExpertsConfig? Experts()
        {
            var count = values.FirstOf("num_local_experts", "num_experts");
            var mayHave = _architecture.Tensors.Any(spec => spec.Name == "ffn_gate_inp.weight");
            if (!mayHave || (!_architecture.NeedsExperts && !values.Has(count)))
                return null;
            var experts = values.Int(count, 1, MaxExperts);
            var perToken = values.Int("num_experts_per_tok", 1, MaxExperts);
            if (perToken > experts)
                values.Fail("num_experts_per_tok", $"must be at most {count}, {experts}");
            var width = values.Int(values.FirstOf("moe_intermediate_size", "intermediate_size"), 1, MaxWidth);
            return new ExpertsConfig(experts, perToken, width, values.Bool("norm_topk_prob") ?? true);
        }

        /// <summary>What a model may say but this build knows one way of.</summary>
        private void CheckFixed(int layers)
        {
            var activation = values.FirstOf("hidden_activation", "hidden_act");
            if (values.Text(activation) is { } found && !row.Activations.Contains(found))
                values.Fail(activation, $"must be {string.Join(" or ", row.Activations)} in {row.ModelType} models");
            if (row.Name == "gemma2" && !values.Has("attn_logit_softcapping"))
                values.Fail("attn_logit_softcapping", "must be a number in gemma2 models");
            if (row.Name == "gemma2" && !values.Has("final_logit_softcapping"))
                values.Fail("final_logit_softcapping", "must be a number in gemma2 models");
            if (values.Int("decoder_sparse_step", 1, MaxLayers, 1) != 1)
                values.Fail("decoder_sparse_step", "must be 1: experts in every layer");
            if (values.Array<int>("mlp_only_layers", "must be an array of layers", Integer) is { Length: > 0 })
                values.Fail("mlp_only_layers", "must be empty: experts in every layer");
            if (values.Has("swiglu_limit") && values.Float("swiglu_limit", 0, MaxFactor) is not 7)
                values.Fail("swiglu_limit", "must be 7");
            const string NoRope = "no_rope_layers";
            if (row.Name == "smollm3" && values.Array<int>(NoRope, "must be an array of 0 and 1, one for each layer", Integer) is { } turns
                && !turns.SequenceEqual(Enumerable.Range(0, layers).Select(layer => (layer + 1) % 4 == 0 ? 0 : 1)))
                values.Fail(NoRope, $"must be one for each of the {layers} layers: 0 for every fourth one, 1 for the others");
        }

        /// <summary>From the list of the layers' kinds, or the pattern of older files; null for the architecture's default.</summary>
        private int? LayersPerGlobalOne(int layers)
        {
            const string Kinds = "layer_types";
            var pattern = values.FirstOf("sliding_window_pattern", "_sliding_window_pattern");
            var sees = values.Array<bool>(Kinds, "must be an array of sliding_attention and full_attention", element =>
                element.ValueKind != JsonValueKind.String ? null : element.GetString() switch
                {
                    "full_attention" => true,
                    "sliding_attention" => false,
                    _ => null,
                });
            if (!row.HasWindow)
            {
                if (sees?.Contains(false) == true)
                    values.Fail(Kinds, $"must be full_attention alone in {row.ModelType} models");
                return null;
            }
            if (sees is null)
            {
                var found = values.Has(pattern) ? values.Int(pattern, 1, MaxLayers) : (int?)null;
                if (row.FixedLayersPerGlobalOne is { } only && (found ?? only) != only)
                    values.Fail(pattern, $"must be {only} in {row.ModelType} models");
                return found;
            }
            // Without a layer that sees all keys, the first such would stand behind the last.
            var period = Array.IndexOf(sees, true) is >= 0 and var first ? first + 1 : layers + 1;
            var regular = Enumerable.Range(0, layers).Select(layer => (layer + 1) % period == 0);
            if (!sees.SequenceEqual(regular))
                values.Fail(Kinds, $"must be one for each of the {layers} layers, and full_attention in every n-th alone");
            else if (row.FixedLayersPerGlobalOne is { } only && period != only && layers >= only)
                values.Fail(Kinds, $"must be full_attention in every {only}nd layer alone in {row.ModelType} models");
            return period;
        }

        private static int? Integer(JsonElement element) =>
            element.ValueKind == JsonValueKind.Number && element.TryGetInt32(out var number) ? number : null;
    }
}
