using Distributed.Core.Tokenization;

namespace Distributed.Core;

/// <summary>
/// What the shape of a model may be at most, whatever file says it: far above any real model, and low enough that products of two
/// fit an int and of three a long.
/// </summary>
internal static class ModelLimits
{
    public const int MaxLayers = 1024;
    public const int MaxWidth = 1 << 18;
    public const int MaxHeads = 1 << 12;
    public const int MaxVocab = Vocabulary.MaxTokens;
    public const int MaxContext = 1 << 28;
    public const int MaxExperts = 1 << 12;
    public const float MaxTheta = 1e12f;
    public const float MaxFactor = 1e6f;
    public const int MaxArray = 1 << 16;
}
