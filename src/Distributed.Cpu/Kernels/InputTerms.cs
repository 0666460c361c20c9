namespace Distributed.Cpu.Kernels;

/// <summary>
/// What a type of weights wants of each block of the input besides its integers and scale. With s the sum of the block's integers:
/// a term is −<paramref name="Offset"/> × s, an integer that takes the offset of the unsigned numbers off again; or, with minimums,
/// scale × s as float32. With halves there are two terms, each of the sum of 16 integers.
/// </summary>
/// <param name="Offset">What was added to the weights to make them unsigned, numbers below twice as much; 0 with minimums.</param>
/// <param name="HasHalves">There is a scale for 16 columns, not for 32.</param>
/// <param name="HasMins">A minimum is added to each weight: weight = scale × number + minimum.</param>
internal readonly record struct InputTerms(int Offset, bool HasHalves = false, bool HasMins = false)
{
    /// <summary>Vectors of factors that a block of weights has.</summary>
    public int Vectors => (HasHalves ? 2 : 1) * (HasMins ? 2 : 1);

    /// <summary>Where the minimums begin among them.</summary>
    public int Mins => HasHalves ? 2 : 1;
}
