using Distributed.Core.Quantization;

namespace Distributed.Core.Synthetic;

/// <summary>
/// Which matrix of a model has which format: all the same one, or a mix as llama.cpp's quantize makes it: most matrices in one
/// format, and those that matter more in Q6_K.
/// </summary>
public sealed class WeightTypes
{
    private static readonly (string Name, QuantType Most)[] Mixes = [("Q4_K_M", Q4_K.Type), ("Q5_K_M", Q5_K.Type)];

    private readonly QuantType _most;
    private readonly bool _isMix;

    private WeightTypes(string name, QuantType most, bool isMix) => (Name, _most, _isMix) = (name, most, isMix);

    /// <summary>The name: of the format or the mix.</summary>
    public string Name { get; }

    /// <summary>The formats of a name, in any case: one of <see cref="QuantTypes"/>, <c>q4_k_m</c> or <c>q5_k_m</c>.</summary>
    /// <param name="name">The name.</param>
    /// <param name="key">The key of errors.</param>
    /// <exception cref="InvalidInputException">There is none; the error says which there are.</exception>
    public static WeightTypes Parse(string name, string key)
    {
        foreach (var mix in Mixes)
            if (string.Equals(mix.Name, name, StringComparison.OrdinalIgnoreCase))
                return new WeightTypes(mix.Name, mix.Most, isMix: true);
        var type = QuantTypes.All.FirstOrDefault(type => string.Equals(type.Name, name, StringComparison.OrdinalIgnoreCase));
        return type is not null
            ? new WeightTypes(type.Name, type, isMix: false)
            : throw new InvalidInputException(
                key, name, $"must be one of {QuantTypes.Names}, or a mix: {string.Join(", ", Mixes.Select(mix => mix.Name))}");
    }

    /// <summary>The format of a matrix.</summary>
    /// <param name="spec">The matrix; the embedding counts as the output matrix where it is that too.</param>
    /// <param name="layer">Its layer, from 0.</param>
    /// <param name="layers">Layers of the model.</param>
    /// <param name="isTied">The embedding is the output matrix.</param>
    public QuantType Of(TensorSpec spec, int layer, int layers, bool isTied)
    {
        var matters = spec.Role == TensorRole.Repeating
            ? TensorTypes.GetsMoreBits(layer, layers)
                && (spec.Name.StartsWith("attn_v.", StringComparison.Ordinal) || spec.Name.StartsWith("ffn_down", StringComparison.Ordinal))
            : spec.Name == TensorNames.Output || isTied;
        return _isMix && matters ? Q6_K.Type : _most;
    }
}
