using System.Globalization;

namespace Distributed.Core.Synthetic;

/// <summary>The shape of a model of random weights: by name, or key by key.</summary>
/// <param name="Name">Its name, or the text it was read from.</param>
/// <param name="Architecture">As in <c>general.architecture</c>.</param>
/// <param name="Layers">Transformer layers.</param>
/// <param name="Hidden">Values in a hidden state.</param>
/// <param name="Ffn">Width of the feed-forward network.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="Kv">Key and value heads.</param>
/// <param name="Vocab">Tokens in the vocabulary.</param>
/// <param name="Context">The context that a model of this shape was trained for, in tokens.</param>
public sealed record SyntheticShape(
    string Name, string Architecture, int Layers, int Hidden, int Ffn, int Heads, int Kv, int Vocab, int Context)
{
    private static readonly Key[] Keys =
    [
        new("layers", 1, ModelLimits.MaxLayers, (shape, value) => shape with { Layers = value }, IsNeeded: true),
        new("hidden", 32, ModelLimits.MaxWidth, (shape, value) => shape with { Hidden = value }, IsNeeded: true),
        new("ffn", 32, ModelLimits.MaxWidth, (shape, value) => shape with { Ffn = value }, IsNeeded: true),
        new("heads", 1, ModelLimits.MaxHeads, (shape, value) => shape with { Heads = value }, IsNeeded: true),
        new("kv", 1, ModelLimits.MaxHeads, (shape, value) => shape with { Kv = value }),
        new("vocab", SyntheticVocabulary.MinTokens, ModelLimits.MaxVocab, (shape, value) => shape with { Vocab = value }),
        new("context", 1, ModelLimits.MaxContext, (shape, value) => shape with { Context = value }),
        new("head-dim", 2, ModelConfig.MaxHeadDim, (shape, value) => shape with { HeadDim = value }),
        new("experts", 1, ModelLimits.MaxExperts, (shape, value) => shape with { Experts = value }),
        new("per-token", 1, ModelLimits.MaxExperts, (shape, value) => shape with { ExpertsPerToken = value }),
        new("expert-ffn", 32, ModelLimits.MaxWidth, (shape, value) => shape with { ExpertFfn = value }),
    ];

    /// <summary>Values per head; null for Hidden / Heads.</summary>
    public int? HeadDim { get; init; }

    /// <summary>Experts in a layer; 0 for none.</summary>
    public int Experts { get; init; }

    /// <summary>Experts that each token goes to.</summary>
    public int ExpertsPerToken { get; init; } = 2;

    /// <summary>Width of one expert; null for that of the feed-forward network.</summary>
    public int? ExpertFfn { get; init; }

    /// <summary>The output matrix is the embedding.</summary>
    public bool IsTied { get; init; }

    /// <summary>The base of the rotary frequencies.</summary>
    public float RopeTheta { get; init; } = 10_000;

    /// <summary>The epsilon of every norm.</summary>
    public float RmsNormEps { get; init; } = 1e-5f;

    /// <summary>Keys that a query sees in layers with a window; null for none.</summary>
    public int? Window { get; init; }

    /// <summary>The shape of a name, or of keys and values such as <c>layers=22,hidden=2048,ffn=5632,heads=32,kv=4,vocab=32000</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="key">The key of errors: the flag it stands behind.</param>
    /// <exception cref="InvalidInputException">There is no such name or key, or a value breaks a rule; all that do are listed.</exception>
    public static SyntheticShape Parse(string text, string key)
    {
        if (text.Contains('=', StringComparison.Ordinal))
            return ParseKeys(text, key);
        return SyntheticShapes.All.FirstOrDefault(shape => string.Equals(shape.Name, text, StringComparison.OrdinalIgnoreCase))
            ?? throw new InvalidInputException(
                key, text, $"must be one of {string.Join(", ", SyntheticShapes.All.Select(shape => shape.Name))}, or {KeysRule}");
    }

    /// <summary>The shape as a model's.</summary>
    public ModelConfig ToConfig()
    {
        var headDim = HeadDim ?? Hidden / Heads;
        return new ModelConfig
        {
            Architecture = Architecture,
            Name = Name,
            HiddenSize = Hidden,
            IntermediateSize = Ffn,
            NumLayers = Layers,
            NumHeads = Heads,
            NumKvHeads = Kv,
            HeadDim = headDim,
            VocabSize = Vocab,
            ContextLength = Context,
            RmsNormEps = RmsNormEps,
            Rope = new RopeConfig(RopeTheta, headDim, Architectures.ByName(Architecture).RopePairs),
            Experts = Experts == 0 ? null : new ExpertsConfig(Experts, ExpertsPerToken, ExpertFfn ?? Ffn),
            SlidingWindow = Window,
        };
    }

    private static string KeysRule => $"keys and values of {string.Join(", ", Keys.Select(key => key.Name))}: layers=22,hidden=2048,…";

    private static SyntheticShape ParseKeys(string text, string flag)
    {
        var shape = new SyntheticShape("synthetic", "llama", 1, 32, 32, 1, 0, 32_000, 4096);
        var errors = new List<InputError>();
        var given = new HashSet<string>();
        foreach (var pair in text.Split(',', StringSplitOptions.TrimEntries))
        {
            var (name, value) = pair.Split('=', 2) is [var left, var right] ? (left, right) : (pair, null);
            if (Keys.FirstOrDefault(key => key.Name == name) is not { } key)
                Fail(name, value ?? "there", $"is no key; the keys are {string.Join(", ", Keys.Select(key => key.Name))}");
            else if (!given.Add(name))
                Fail(name, value, "is given twice");
            else if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number < key.Min || number > key.Max)
                Fail(name, value, $"must be a whole number from {key.Min} to {key.Max}");
            else
                shape = key.Set(shape, number);
        }
        foreach (var key in Keys.Where(key => key.IsNeeded && !given.Contains(key.Name)))
            Fail(key.Name, null, $"is missing; it must be a whole number from {key.Min} to {key.Max}");
        if (!given.Contains("kv"))
            shape = shape with { Kv = shape.Heads };
        if (errors.Count == 0)
            CheckTogether(shape, given, Fail);
        return errors.Count == 0 ? shape : throw new InvalidInputException(errors);

        void Fail(string name, string? value, string rule) => errors.Add(new InputError($"{flag} {name}", value, rule));
    }

    private static void CheckTogether(SyntheticShape shape, HashSet<string> given, Action<string, string?, string> fail)
    {
        if (shape.Heads % shape.Kv != 0)
            fail("kv", $"{shape.Kv}", $"must divide the number of heads, {shape.Heads}");
        if (shape.HeadDim is { } headDim)
        {
            if (headDim % 2 != 0)
                fail("head-dim", $"{headDim}", "must be even");
        }
        else if (shape.Hidden % shape.Heads != 0 || shape.Hidden / shape.Heads is var size && (size % 2 != 0 || size > ModelConfig.MaxHeadDim))
        {
            fail("heads", $"{shape.Heads}",
                $"must divide hidden, {shape.Hidden}, into heads of an even size up to {ModelConfig.MaxHeadDim}; head-dim gives another size");
        }
        if (shape.Experts == 0)
        {
            foreach (var name in (string[])["per-token", "expert-ffn"])
                if (given.Contains(name))
                    fail(name, "there", "needs experts");
        }
        else if (shape.ExpertsPerToken > shape.Experts)
        {
            fail("per-token", $"{shape.ExpertsPerToken}", $"must be at most experts, {shape.Experts}");
        }
    }

    private sealed record Key(string Name, int Min, int Max, Func<SyntheticShape, int, SyntheticShape> Set, bool IsNeeded = false);
}
