using System.Globalization;

namespace Distributed.Core.Quantization;

/// <summary>
/// Which format each tensor of a model gets, as llama.cpp's users know it: vectors, norms and routers stay as they are, the matrix
/// of the LM head gets six bits, and the mixes spend more bits where rounding hurts most: on values and on the matrix at the end of
/// the feed-forward network, in the first and last eighth of the layers and in every third one between.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="target">What it is quantised to.</param>
internal sealed class TensorTypes(ModelFile model, FileType target)
{
    private const int LayersOf70B = 80;
    private const int ExpertsOfMixtral = 8;

    private readonly bool _isTied = !model.Tensors.ContainsKey(TensorNames.Output);

    /// <summary>The format a tensor gets; that which it has, where it is to stay as it is.</summary>
    public QuantType For(Tensor tensor)
    {
        if (!IsMatrix(tensor))
            return tensor.Type;
        return target.Base.BlockLength == 1 ? target.Base : FitRows(Choose(tensor.Name), tensor.Columns);
    }

    /// <summary>Whether the mixes spend more bits on a layer.</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <param name="layers">Layers of the model.</param>
    public static bool GetsMoreBits(int layer, int layers) =>
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - (layers / 8)) % 3 == 2;

    private static bool IsMatrix(Tensor tensor) =>
        tensor.Dimensions.Skip(1).Any(dimension => dimension > 1)
        && tensor.Name.EndsWith(".weight", StringComparison.Ordinal)
        && !tensor.Name.EndsWith("_norm.weight", StringComparison.Ordinal)
        && !tensor.Name.EndsWith("ffn_gate_inp.weight", StringComparison.Ordinal);

    private QuantType Choose(string name)
    {
        if (name == TensorNames.Output || (_isTied && name == TensorNames.TokenEmbedding))
            return target.Base == Q8_0.Type ? Q8_0.Type : Q6_K.Type;
        if (name.Contains("attn_v.weight", StringComparison.Ordinal))
            return ChooseForValues(LayerOf(name));
        if (name.Contains("attn_k.weight", StringComparison.Ordinal))
            return IsLikeMixtral ? Q8_0.Type : target.Base;
        if (name.Contains("attn_output.weight", StringComparison.Ordinal))
            return IsLikeMixtral && target.Base == Q4_K.Type ? Q5_K.Type : target.Base;
        if (name.Contains("ffn_down", StringComparison.Ordinal))
            return ChooseForDown(LayerOf(name));
        if (name.Contains("attn_qkv.weight", StringComparison.Ordinal))
            return target.Name switch { "Q4_K_M" => Q5_K.Type, "Q5_K_M" => Q6_K.Type, _ => target.Base };
        return target.Base;
    }

    // Few next to the experts, so that more bits for them cost next to nothing.
    private bool IsLikeMixtral => model.Config.Experts?.Count == ExpertsOfMixtral;

    private QuantType ChooseForValues(int layer)
    {
        if (IsLikeMixtral)
            return Q8_0.Type;
        return target.Name switch
        {
            "Q4_K_M" or "Q5_K_M" when GetsMoreBits(layer, model.Config.NumLayers) => Q6_K.Type,
            "Q4_K_S" when layer < 4 => Q5_K.Type,
            // Its eight query heads share each row of values.
            "Q4_K_M" or "Q4_K_S" when model.Config.NumLayers == LayersOf70B => Q5_K.Type,
            _ => target.Base,
        };
    }

    private QuantType ChooseForDown(int layer) => target.Name switch
    {
        "Q4_K_M" or "Q5_K_M" when GetsMoreBits(layer, model.Config.NumLayers) => Q6_K.Type,
        "Q4_K_S" when layer < model.Config.NumLayers / 8 => Q5_K.Type,
        _ => target.Base,
    };

    // Rows must be whole blocks.
    private static QuantType FitRows(QuantType type, long columns)
    {
        if (columns % type.BlockLength != 0)
            type = type == Q4_K.Type ? Q5_0.Type : type == Q5_K.Type ? Q5_1.Type : Q8_0.Type;
        return columns % type.BlockLength == 0 ? type : F16.Type;
    }

    // blk.12.attn_v.weight → 12. The names were checked against the architecture.
    private static int LayerOf(string name) => int.Parse(name.Split('.')[1], CultureInfo.InvariantCulture);
}
