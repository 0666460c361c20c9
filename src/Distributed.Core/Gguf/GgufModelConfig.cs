using System.Globalization;
using static Distributed.Core.ModelLimits;

namespace Distributed.Core.Gguf;

/// <summary>Reads the shape of a model from the metadata of its file, and reports everything that is wrong with it at once.</summary>
internal sealed class GgufModelConfig
{
    private readonly GgufMetadata _metadata;
    private readonly List<InputError> _errors = [];

    private GgufModelConfig(GgufMetadata metadata) => _metadata = metadata;

    /// <summary>The shape of a model.</summary>
    /// <exception cref="InvalidInputException">The architecture is not known, or a value is missing or breaks a rule.</exception>
    public static ModelConfig Read(GgufFile file) => new GgufModelConfig(file.Metadata).Read(
        Architectures.ByName(file.Metadata.Architecture, file.Path), file.Tensors.GetValueOrDefault(TensorNames.TokenEmbedding), file.Path);

    private ModelConfig Read(Architecture architecture, Tensor? embedding, string path)
    {
        var hidden = Int("embedding_length", 1, MaxWidth);
        var heads = Int("attention.head_count", 1, MaxHeads);
        var kvHeads = Int("attention.head_count_kv", 1, MaxHeads, heads);
        if (heads % kvHeads != 0)
            Fail("attention.head_count_kv", $"{kvHeads}", $"must divide the number of heads, {heads}");
        var headDim = Int("attention.key_length", 2, ModelConfig.MaxHeadDim, hidden / heads);
        if (!Has("attention.key_length") && hidden % heads != 0)
            Fail("attention.head_count", $"{heads}", $"must divide embedding_length, {hidden}");
        else if (_errors.Count == 0 && headDim is (< 2 or > ModelConfig.MaxHeadDim))
            Fail("attention.head_count", $"{heads}", $"must give heads of 2 to {ModelConfig.MaxHeadDim} values; these have {headDim}");
        if (Int("attention.value_length", 1, ModelConfig.MaxHeadDim, headDim) is var valueDim && valueDim != headDim)
            Fail("attention.value_length", $"{valueDim}", $"must be that of the keys, {headDim}");
        var rope = Rope(architecture, headDim);
        var experts = Experts(architecture);
        var config = new ModelConfig
        {
            Architecture = architecture.Name,
            Name = Name(path),
            HiddenSize = hidden,
            IntermediateSize = Int("feed_forward_length", 1, MaxWidth, experts?.IntermediateSize),
            NumLayers = Int("block_count", 1, MaxLayers),
            NumHeads = heads,
            NumKvHeads = kvHeads,
            HeadDim = headDim,
            VocabSize = VocabSize(embedding),
            ContextLength = Int("context_length", 1, MaxContext),
            RmsNormEps = Float($"attention.layer_norm_{(Has("attention.layer_norm_epsilon") ? "epsilon" : "rms_epsilon")}", 0, 1),
            Rope = rope,
            LocalRope = architecture.LocalRopeTheta is { } local
                ? new RopeConfig(Float("rope.freq_base_swa", 1, MaxTheta, local(rope.Theta)), rope.Dimensions, rope.Pairs)
                : null,
            Experts = experts,
            SlidingWindow = Int("attention.sliding_window", 0, MaxContext, 0) is > 0 and var window ? window : null,
            LayersPerGlobalOne = Has("attention.sliding_window_pattern") ? Int("attention.sliding_window_pattern", 1, MaxLayers) : null,
            AttentionScale = Factor("attention.scale"),
            AttentionSoftCap = Factor("attn_logit_softcapping"),
            LogitSoftCap = Factor("final_logit_softcapping"),
            EmbeddingScale = Factor("embedding_scale"),
            ResidualScale = Factor("residual_scale"),
            LogitScale = Factor("logit_scale"),
        };
        return _errors.Count == 0 ? config : throw new InvalidInputException(_errors);
    }

    private RopeConfig Rope(Architecture architecture, int headDim)
    {
        var dimensions = Int("rope.dimension_count", 2, ModelConfig.MaxHeadDim, headDim);
        if (dimensions > headDim || dimensions % 2 != 0)
            Fail("rope.dimension_count", $"{dimensions}", $"must be even and at most the head's size, {headDim}");
        var theta = Float("rope.freq_base", 1, MaxTheta, 10_000);
        // Files before the type was written down have only a factor, under one of two keys; 0 means none.
        var type = Try<string?>(_metadata.TryGetString, _metadata.ArchKey("rope.scaling.type"), out var found) ? found! : "linear";
        if (type is not ("none" or "linear" or "yarn" or "longrope"))
            Fail("rope.scaling.type", type, "must be none, linear, yarn or longrope");
        var factor = Float(Has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear", 0, MaxContext, 1);
        return new RopeConfig(
            theta,
            dimensions,
            architecture.RopePairs,
            type == "none" || factor == 0 ? 1 : factor,
            Factor("rope.scaling.attn_factor") ?? 1,
            Has("rope.scaling.original_context_length") ? Int("rope.scaling.original_context_length", 1, MaxContext) : null,
            type == "yarn" ? Yarn() : null);
    }

    private YarnConfig Yarn() => new(
        Float("rope.scaling.yarn_beta_fast", 0, MaxContext, 32), Float("rope.scaling.yarn_beta_slow", 0, MaxContext, 1));

    private ExpertsConfig? Experts(Architecture architecture)
    {
        var count = architecture.NeedsExperts ? Int("expert_count", 1, MaxExperts) : Int("expert_count", 0, MaxExperts, 0);
        if (count == 0)
            return null;
        var perToken = Int("expert_used_count", 1, MaxExperts);
        if (perToken > count)
            Fail("expert_used_count", $"{perToken}", $"must be at most expert_count, {count}");
        var width = Has("expert_feed_forward_length") ? "expert_feed_forward_length" : "feed_forward_length";
        return new ExpertsConfig(count, perToken, Int(width, 1, MaxWidth));
    }

    // 0 means none.
    private float? Factor(string name) => Float(name, 0, MaxFactor, 0) is > 0 and var factor ? factor : null;

    private int VocabSize(Tensor? embedding)
    {
        var tokens = _metadata.ArrayLength("tokenizer.ggml.tokens");
        var size = embedding?.Rows ?? tokens ?? 0;
        if (tokens is not null && tokens != size)
            FailKey("tokenizer.ggml.tokens", $"[{tokens}]", $"must have one for each of the {size} rows of {TensorNames.TokenEmbedding}");
        if (size is >= 1 and <= MaxVocab)
            return (int)size;
        FailKey(TensorNames.TokenEmbedding, embedding is null ? null : $"{size} rows", $"must have 1 to {MaxVocab} rows");
        return 1;
    }

    private string Name(string path) =>
        Try<string?>(_metadata.TryGetString, "general.name", out var name) && name!.Length > 0
            ? name
            : Path.GetFileNameWithoutExtension(path);

    private bool Has(string name) => _metadata.Contains(_metadata.ArchKey(name));

    // Stand-ins keep what follows from dividing by zero; the error is already noted.
    private int Int(string name, int min, int max, int? otherwise = null)
    {
        if (!Try<long>(_metadata.TryGetInt64, _metadata.ArchKey(name), out var value))
        {
            if (otherwise is null && !Has(name))
                Fail(name, null, "is missing; it must be an integer");
            return otherwise ?? min;
        }

        if (value >= min && value <= max)
            return (int)value;
        Fail(name, $"{value}", $"must lie between {min} and {max}");
        return min;
    }

    private float Float(string name, float min, float max, float? otherwise = null)
    {
        if (!Try<float>(_metadata.TryGetSingle, _metadata.ArchKey(name), out var value))
        {
            if (otherwise is null && !Has(name))
                Fail(name, null, "is missing; it must be a float");
            return otherwise ?? min;
        }

        if (value >= min && value <= max)
            return value;
        Fail(name, Format(value), $"must lie between {Format(min)} and {Format(max)}");
        return min;
    }

    private delegate bool TryGet<T>(string key, out T value);

    // False when the key is missing or its value has another type; the latter is noted.
    private bool Try<T>(TryGet<T> get, string key, out T value)
    {
        try
        {
            return get(key, out value);
        }
        catch (InvalidInputException exception)
        {
            _errors.AddRange(exception.Errors);
            value = default!;
            return false;
        }
    }

    private void Fail(string name, string? value, string rule) => FailKey(_metadata.ArchKey(name), value, rule);

    private void FailKey(string key, string? value, string rule) => _errors.Add(new InputError(key, value, rule, _metadata.Source));

    private static string Format(float value) => value.ToString(CultureInfo.InvariantCulture);
}
