namespace Distributed.Core.Sampling;

/// <summary>A token with its probability.</summary>
/// <param name="Token">Its id.</param>
/// <param name="LogProb">Natural logarithm of its probability in the softmax of the raw logits, before any sampler.</param>
public readonly record struct TokenLogProb(int Token, float LogProb);

/// <summary>A token drawn from the logits.</summary>
/// <param name="Token">Its id.</param>
/// <param name="LogProb">Natural logarithm of its probability in the softmax of the raw logits, before any sampler.</param>
/// <param name="Top">The most probable tokens, the most probable first; empty unless asked for.</param>
public readonly record struct SampledToken(int Token, float LogProb, IReadOnlyList<TokenLogProb> Top);
