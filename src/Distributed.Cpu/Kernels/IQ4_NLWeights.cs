using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>IQ4_NL in products with bytes: signed levels.</summary>
internal readonly unsafe struct IQ4_NLWeights : IInt8Weights
{
    public static QuantType Type => IQ4_NL.Type;

    public static int Bits => 8;

    public static bool FactorsAreHalves => true;

    public static bool HasHalves => false;

    public static bool HasMins => false;

    public static InputTerms Terms => new(Offset: 128, HasHalves, HasMins);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        panel.StoreHalves(T.LoadFirst(unit, stride), 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> => Nibbles.LoadLevels<T>(unit + 2, stride, 4 * half, MemoryMarshal.AsBytes(IQ4_NL.Levels));
}
