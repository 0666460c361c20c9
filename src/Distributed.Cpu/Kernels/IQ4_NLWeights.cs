using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>IQ4_NL in products with bytes: levels raised by 128.</summary>
internal readonly unsafe struct IQ4_NLWeights : IInt8Weights
{
    public static QuantType Type => IQ4_NL.Type;

    public static bool FactorsAreHalves => true;

    public static InputTerms Terms => new(Offset: 128);

    /// <summary><see cref="IQ4_NL.Levels"/> + 128.</summary>
    public static ReadOnlySpan<byte> Levels => [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        T.StoreLow(T.LoadFirst(unit, stride), panel.Halves);
        Nibbles.UnpackLevels<T>(unit + 2, stride, Levels, panel.Numbers);
    }
}
