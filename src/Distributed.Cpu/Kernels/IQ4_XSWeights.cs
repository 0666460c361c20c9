using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>IQ4_XS in products with bytes: signed levels.</summary>
internal readonly unsafe struct IQ4_XSWeights : IInt8Weights
{
    private const int Lower = 8;
    private const int Vectors = 1;

    public static QuantType Type => IQ4_XS.Type;

    public static int Bits => 8;

    public static bool FactorsAreHalves => false;

    public static bool HasHalves => false;

    public static bool HasMins => false;

    public static InputTerms Terms => new(Offset: 128, HasHalves, HasMins);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var upper = T.LoadFirst(unit, stride);
        var lower = T.LoadFirst(unit + 4, stride);
        T.StoreLowHalves(upper, panel.Scratch);
        // Two bits each in the upper half of the first four bytes, above four each of the second four.
        upper >>= 16;
        for (var group = 0; group < 8; group++, upper >>= 2, lower >>= 4)
            T.StoreScales(
                (lower & T.Create(15)) | ((upper & T.Create(3)) << 4), 0, 32, panel.Scratch, panel.From(group, Vectors).Factors);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> =>
        Nibbles.LoadLevels<T>(unit + Lower + (16 * block), stride, 4 * half, MemoryMarshal.AsBytes(IQ4_NL.Levels));
}
