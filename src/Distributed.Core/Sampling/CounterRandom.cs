namespace Distributed.Core.Sampling;

/// <summary>
/// Random numbers without a state: the number for a position is a hash of seed and position, so that whoever draws a token
/// again, on whatever worker, draws the same one. The hash is SplitMix64's (Steele, Lea and Flood 2014).
/// </summary>
public static class CounterRandom
{
    private const ulong GoldenGamma = 0x9E3779B97F4A7C15;

    /// <summary>A number in [0, 1) with 53 random bits.</summary>
    /// <param name="seed">The request's seed.</param>
    /// <param name="position">The position of the token to be drawn, in its sequence.</param>
    public static double Uniform(ulong seed, int position)
    {
        // The seed is mixed first: consecutive seeds would otherwise give the same numbers, shifted by positions.
        var bits = Mix(Mix(seed + GoldenGamma) + ((ulong)position * GoldenGamma));
        return (bits >> 11) * (1.0 / (1UL << 53));
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
