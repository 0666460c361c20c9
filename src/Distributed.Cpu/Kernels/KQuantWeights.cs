using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_K in products with bytes.</summary>
internal readonly unsafe struct Q4_KWeights : IInt8Weights
{
    private const int Numbers = 16;

    public static QuantType Type => Q4_K.Type;

    public static bool HasHalves => false;

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        SixBitScalesAndMins.Unpack<T>(unit, stride, panel, Terms);
        var low = T.Create(15);
        for (var pair = 0; pair < 4; pair++)
        {
            var first = panel.Numbers + (2 * pair * WeightPanel.BlockBytes);
            var second = first + WeightPanel.BlockBytes;
            for (var half = 0; half < 2; half++, first += 256, second += 256)
            {
                T.Load(unit + Numbers + (32 * pair) + (16 * half), stride, out var a, out var b, out var c, out var d);
                T.Store(a & low, first);
                T.Store(b & low, first + 64);
                T.Store(c & low, first + 128);
                T.Store(d & low, first + 192);
                T.Store((a >> 4) & low, second);
                T.Store((b >> 4) & low, second + 64);
                T.Store((c >> 4) & low, second + 128);
                T.Store((d >> 4) & low, second + 192);
            }
        }
    }
}

/// <summary>Q5_K in products with bytes.</summary>
internal readonly unsafe struct Q5_KWeights : IInt8Weights
{
    private const int Fifths = 16;
    private const int Numbers = 48;

    public static QuantType Type => Q5_K.Type;

    public static bool HasHalves => false;

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        SixBitScalesAndMins.Unpack<T>(unit, stride, panel, Terms);
        for (var half = 0; half < 2; half++)
        {
            T.Load(unit + Fifths + (16 * half), stride, out var f0, out var f1, out var f2, out var f3);
            for (var pair = 0; pair < 4; pair++)
            {
                var first = panel.Numbers + (2 * pair * WeightPanel.BlockBytes) + (256 * half);
                var second = first + WeightPanel.BlockBytes;
                T.Load(unit + Numbers + (32 * pair) + (16 * half), stride, out var a, out var b, out var c, out var d);
                Store(a, f0, first, second);
                Store(b, f1, first + 64, second + 64);
                Store(c, f2, first + 128, second + 128);
                Store(d, f3, first + 192, second + 192);
                f0 >>= 2;
                f1 >>= 2;
                f2 >>= 2;
                f3 >>= 2;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T numbers, T fifths, byte* first, byte* second)
        where T : struct, IByteLanes<T>
    {
        var low = T.Create(15);
        var bit = T.Create(1);
        T.Store((numbers & low) | ((fifths & bit) << 4), first);
        T.Store(((numbers >> 4) & low) | (((fifths >> 1) & bit) << 4), second);
    }
}

/// <summary>The eight scales and minimums of six bits that Q4_K and Q5_K have behind their two factors.</summary>
internal static unsafe class SixBitScalesAndMins
{
    /// <summary>Writes the scales and the negative minimums of eight blocks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel, InputTerms terms)
        where T : struct, IByteLanes<T>
    {
        T.Load(unit, stride, out var both, out var a, out var b, out var c);
        var minFactors = panel.Scratch + WeightPanel.Rows;
        T.StoreLowHalves(both, panel.Scratch);
        // The sign goes into the factor: what is added is −factor × minimum.
        T.StoreLowHalves((both >> 16) ^ ((T.Create(255) >> 31) << 15), minFactors);
        // See SixBitScales for where the bits of the eight pairs lie in three words.
        var (six, four, two) = (T.Create(63), T.Create(15), T.Create(48));
        var target = panel.Factors;
        var later = panel.From(4, terms).Factors;
        Store(a & six, panel.Scratch, target, terms);
        Store(b & six, minFactors, target + WeightPanel.Rows, terms);
        Store((c & four) | ((a >> 2) & two), panel.Scratch, later, terms);
        Store(((c >> 4) & four) | ((b >> 2) & two), minFactors, later + WeightPanel.Rows, terms);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T bytes, float* factors, float* target, InputTerms terms)
        where T : struct, IByteLanes<T>
    {
        // Not a loop: the shifts by 8 × the index are to be constants.
        var step = terms.Vectors * WeightPanel.Rows;
        T.StoreScales(bytes, 0, 0, factors, target);
        T.StoreScales(bytes, 1, 0, factors, target + step);
        T.StoreScales(bytes, 2, 0, factors, target + (2 * step));
        T.StoreScales(bytes, 3, 0, factors, target + (3 * step));
    }
}

/// <summary>Q6_K in products with bytes.</summary>
internal readonly unsafe struct Q6_KWeights : IInt8Weights
{
    private const int Upper = 128;
    private const int Scales = 192;
    private const int Factor = 208;

    public static QuantType Type => Q6_K.Type;

    public static bool HasHalves => false;

    public static InputTerms Terms => new(Offset: 32, HasHalves: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        // Four bytes are read at once; those before the factor's two surely lie in the file.
        T.StoreLowHalves(T.Load(unit + Factor - 2, stride) >> 16, panel.Scratch);
        SixteenScales.Unpack<T>(unit + Scales, stride, panel, Terms);
        for (var part = 0; part < 4; part++)
        {
            // Sixteen columns of each of four blocks: two in the lower and two in the upper halves of the same bytes.
            var (half, at) = (part / 2, part % 2 * 16);
            var first = panel.Numbers + (4 * half * WeightPanel.BlockBytes) + (at * WeightPanel.Rows);
            var third = first + (2 * WeightPanel.BlockBytes);
            T.Load(unit + Upper + (32 * half) + at, stride, out var u0, out var u1, out var u2, out var u3);
            T.Load(unit + (64 * half) + at, stride, out var a, out var b, out var c, out var d);
            Store(a, u0, first, third);
            Store(b, u1, first + 64, third + 64);
            Store(c, u2, first + 128, third + 128);
            Store(d, u3, first + 192, third + 192);
            first += WeightPanel.BlockBytes;
            third += WeightPanel.BlockBytes;
            T.Load(unit + (64 * half) + 32 + at, stride, out a, out b, out c, out d);
            Store(a, u0 >> 2, first, third);
            Store(b, u1 >> 2, first + 64, third + 64);
            Store(c, u2 >> 2, first + 128, third + 128);
            Store(d, u3 >> 2, first + 192, third + 192);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T lower, T upper, byte* first, byte* third)
        where T : struct, IByteLanes<T>
    {
        var (low, two) = (T.Create(15), T.Create(48));
        T.Store((lower & low) | ((upper << 4) & two), first);
        T.Store(((lower >> 4) & low) | (upper & two), third);
    }
}

/// <summary>Sixteen signed bytes of scales, one for 16 columns, as Q6_K has them.</summary>
internal static unsafe class SixteenScales
{
    /// <summary>Writes the two scales of each of eight blocks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* scales, long stride, WeightPanel panel, InputTerms terms)
        where T : struct, IByteLanes<T>
    {
        T.Load(scales, stride, out var a, out var b, out var c, out var d);
        // Signed bytes raised by 128 are unsigned ones.
        var sign = T.Create(128);
        Store(a ^ sign, 128, panel.Scratch, panel.Factors, terms);
        Store(b ^ sign, 128, panel.Scratch, panel.From(2, terms).Factors, terms);
        Store(c ^ sign, 128, panel.Scratch, panel.From(4, terms).Factors, terms);
        Store(d ^ sign, 128, panel.Scratch, panel.From(6, terms).Factors, terms);
    }

    /// <summary>Writes the four scales of two blocks, raised by <paramref name="offset"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<T>(T four, int offset, float* factors, float* target, InputTerms terms)
        where T : struct, IByteLanes<T>
    {
        // Not a loop: the shifts by 8 × the index are to be constants.
        var next = target + (terms.Vectors * WeightPanel.Rows);
        T.StoreScales(four, 0, offset, factors, target);
        T.StoreScales(four, 1, offset, factors, target + WeightPanel.Rows);
        T.StoreScales(four, 2, offset, factors, next);
        T.StoreScales(four, 3, offset, factors, next + WeightPanel.Rows);
    }
}
