namespace Distributed.Core;

/// <summary>The names of the tensors outside the layers, the same in all architectures.</summary>
public static class TensorNames
{
    /// <summary>The embedding of each token, [HiddenSize, VocabSize].</summary>
    public const string TokenEmbedding = "token_embd.weight";

    /// <summary>The weights of the norm behind the last layer, [HiddenSize].</summary>
    public const string OutputNorm = "output_norm.weight";

    /// <summary>The bias of the norm behind the last layer, [HiddenSize]; few architectures have it.</summary>
    public const string OutputNormBias = "output_norm.bias";

    /// <summary>The matrix of the LM head, [HiddenSize, VocabSize]; tied embeddings leave it out.</summary>
    public const string Output = "output.weight";

    /// <summary>What each rotary frequency is divided by (Llama 3.1), [Dimensions / 2].</summary>
    public const string RopeFactors = "rope_freqs.weight";

    /// <summary>What each rotary frequency is divided by in contexts longer than the original one (LongRoPE), [Dimensions / 2].</summary>
    public const string LongRopeFactors = "rope_factors_long.weight";

    /// <summary>The same in contexts that are not.</summary>
    public const string ShortRopeFactors = "rope_factors_short.weight";
}
