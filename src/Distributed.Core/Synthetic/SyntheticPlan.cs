using Distributed.Core.Quantization;

namespace Distributed.Core.Synthetic;

/// <summary>What a model of random weights will be, before anything is made.</summary>
public sealed class SyntheticPlan
{
    /// <summary>Tensors begin at a multiple of this, as in a file: kernels meet no better alignment there.</summary>
    internal const int Alignment = 32;

    private readonly string _key;
    private readonly string _text;

    private SyntheticPlan(string key, string text, SyntheticShape shape, WeightTypes types)
    {
        (_key, _text) = (key, text);
        Config = shape.ToConfig();
        Types = types;
        Tensors = Plan(shape.IsTied);
        Bytes = Tensors.Sum(tensor => tensor.PaddedBytes);
    }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>The formats of its matrices.</summary>
    public WeightTypes Types { get; }

    /// <summary>Bytes of all tensors.</summary>
    public long Bytes { get; }

    /// <summary>Values in all tensors.</summary>
    public long Parameters => Tensors.Sum(tensor => tensor.Shape.Aggregate(1L, (product, dimension) => product * dimension));

    /// <summary>The tensors, in a file's order.</summary>
    internal IReadOnlyList<SyntheticTensor> Tensors { get; }

    /// <summary>Reads what a user asks for.</summary>
    /// <param name="text">
    /// <c>SHAPE:TYPE</c>, e.g. <c>llama-1b:q4_0</c>: see <see cref="SyntheticShape.Parse"/> and <see cref="WeightTypes.Parse"/>.
    /// </param>
    /// <param name="key">The key of errors: the flag that the text stands behind.</param>
    /// <exception cref="InvalidInputException">The text breaks a rule, or a row is no multiple of its format's block.</exception>
    public static SyntheticPlan Parse(string text, string key)
    {
        var colon = text.LastIndexOf(':');
        return colon < 0
            ? throw new InvalidInputException(key, text, "must be SHAPE:TYPE, e.g. llama-1b:q4_0")
            : new SyntheticPlan(key, text, SyntheticShape.Parse(text[..colon], key), WeightTypes.Parse(text[(colon + 1)..], key));
    }

    /// <summary>An error about it.</summary>
    /// <param name="rule">The rule that the text breaks.</param>
    public InvalidInputException Error(string rule) => new(_key, _text, rule);

    private List<SyntheticTensor> Plan(bool isTied)
    {
        var plan = new List<SyntheticTensor>();
        foreach (var repeats in (bool[])[false, true])
            for (var layer = 0; layer < (repeats ? Config.NumLayers : 1); layer++)
                foreach (var spec in Architectures.ByName(Config.Architecture).Tensors)
                    if (spec.Role == TensorRole.Repeating == repeats && IsThere(spec, isTied))
                        plan.Add(Plan(spec, layer, isTied));
        return plan;
    }

    private SyntheticTensor Plan(TensorSpec spec, int layer, bool isTied)
    {
        var shape = spec.Shape(Config);
        var type = IsMatrix(spec, shape) ? Types.Of(spec, layer, Config.NumLayers, isTied) : F32.Type;
        return shape[0] % type.BlockLength == 0
            ? new SyntheticTensor(spec.NameIn(layer), type, shape)
            : throw Error($"{type} needs rows of a multiple of {type.BlockLength} values; those of {spec.NameIn(layer)} have {shape[0]}");
    }

    private bool IsThere(TensorSpec spec, bool isTied) =>
        spec.When?.Invoke(Config) != false && (!spec.IsOptional || (spec.Name == TensorNames.Output && !isTied));

    // Routers are small and decide much: files keep them as they were trained.
    private static bool IsMatrix(TensorSpec spec, long[] shape) =>
        shape.Length > 1 && spec.Name.EndsWith(".weight", StringComparison.Ordinal) && spec.Name != "ffn_gate_inp.weight";
}

/// <summary>A tensor to be made.</summary>
internal sealed record SyntheticTensor(string Name, QuantType Type, long[] Shape)
{
    /// <summary>Bytes up to where the next one begins.</summary>
    public long PaddedBytes
    {
        get
        {
            var bytes = Shape.Skip(1).Aggregate(Type.RowBytes(Shape[0]), (product, rows) => product * rows);
            return (bytes + SyntheticPlan.Alignment - 1) / SyntheticPlan.Alignment * SyntheticPlan.Alignment;
        }
    }
}
