using Distributed.Core.Quantization;

namespace Distributed.Core;

/// <summary>Checks the tensors of a file against the table of its architecture.</summary>
internal static class ModelTensors
{
    private const int MaxErrors = 20;

    /// <summary>Checks that every tensor needed is there, with the shape and type expected, and none that is not known.</summary>
    /// <param name="architecture">The table.</param>
    /// <param name="config">The model's shape.</param>
    /// <param name="tensors">The file's tensors.</param>
    /// <param name="source">The file, for errors.</param>
    /// <exception cref="InvalidInputException">One error per tensor, at most twenty.</exception>
    public static void Check(Architecture architecture, ModelConfig config, IReadOnlyDictionary<string, Tensor> tensors, string source)
    {
        var errors = new List<InputError>();
        var known = new HashSet<string>();
        foreach (var spec in architecture.Tensors)
        {
            if (spec.When?.Invoke(config) == false)
                continue;
            var shape = spec.Shape(config);
            for (var layer = 0; layer < (spec.Role == TensorRole.Repeating ? config.NumLayers : 1); layer++)
            {
                var name = spec.NameIn(layer);
                known.Add(name);
                if (tensors.TryGetValue(name, out var tensor))
                    CheckOne(tensor, shape);
                else if (!spec.IsOptional && !(spec.FusedNameIn(layer) is { } fused && tensors.ContainsKey(fused)))
                    Fail(name, null, $"is missing; a {config.Architecture} model needs it with the shape {Format(shape)}");
            }
        }

        foreach (var name in tensors.Keys)
            if (!known.Contains(name))
                Fail(name, "there", $"is not known in {config.Architecture} models of {config.NumLayers} layers; answers would be wrong");
        if (errors.Count > 0)
            throw new InvalidInputException(errors);

        void CheckOne(Tensor tensor, long[] shape)
        {
            if (!AreSame(tensor.Dimensions, shape))
                Fail(tensor.Name, Format(tensor.Dimensions), $"must have the shape {Format(shape)}");
            else if (IsFloat32(tensor.Name, shape) && tensor.Type != F32.Type)
                Fail(tensor.Name, tensor.Type.Name, $"must be {F32.Type}");
        }

        void Fail(string key, string? value, string rule)
        {
            if (errors.Count < MaxErrors)
                errors.Add(new InputError(key, value, rule, source));
        }
    }

    /// <summary>Whether a tensor must be float32: matrices are multiplied in any type, all else is read as it is.</summary>
    public static bool IsFloat32(string name, long[] shape) =>
        shape.Length == 1
        || name.EndsWith(".bias", StringComparison.Ordinal)
        || name.EndsWith("_norm.weight", StringComparison.Ordinal);

    // Files may write out dimensions of 1 at the end.
    private static bool AreSame(IReadOnlyList<long> first, long[] second)
    {
        for (var i = 0; i < Math.Max(first.Count, second.Length); i++)
            if ((i < first.Count ? first[i] : 1) != (i < second.Length ? second[i] : 1))
                return false;
        return true;
    }

    private static string Format(IEnumerable<long> shape) => $"[{string.Join(", ", shape)}]";
}
