using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q3_K in products with bytes: numbers raised by 4.</summary>
internal readonly unsafe struct Q3_KWeights : IInt8Weights
{
    private const int Lower = 32;
    private const int Scales = 96;
    private const int Factor = 108;
    private const int Vectors = 2;

    public static QuantType Type => Q3_K.Type;

    public static int Bits => 3;

    public static bool FactorsAreHalves => false;

    public static bool HasHalves => true;

    public static bool HasMins => false;

    public static InputTerms Terms => new(Offset: 4, HasHalves, HasMins);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        // Four bytes are read at once; those before the factor's two surely lie in the file.
        T.StoreLowHalves(T.Load(unit + Factor - 2, stride) >> 16, panel.Scratch);
        var first = T.Load(unit + Scales, stride);
        var second = T.Load(unit + Scales + 4, stride);
        var upper = T.Load(unit + Scales + 8, stride);
        var (low, two) = (T.Create(15), T.Create(48));
        Store((first & low) | ((upper << 4) & two), panel);
        Store((second & low) | ((upper << 2) & two), panel.From(2, Vectors));
        Store(((first >> 4) & low) | (upper & two), panel.From(4, Vectors));
        Store(((second >> 4) & low) | ((upper >> 2) & two), panel.From(6, Vectors));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> =>
        ((T.Load(unit + Lower + (32 * (block >> 2)) + (16 * half), stride) >> (2 * (block & 3))) & 3)
        | T.Select(T.Load(unit + (16 * half), stride), (byte)(1 << block), 4);

    /// <summary>The four scales of two blocks, raised by 32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T four, WeightPanel panel)
        where T : struct, IByteLanes<T> => SixteenScales.Store(four, 32, panel.Scratch, panel.Factors, Vectors);
}
