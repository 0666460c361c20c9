using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_K in products with bytes.</summary>
internal readonly unsafe struct Q4_KWeights : IInt8Weights
{
    private const int Numbers = 16;

    public static QuantType Type => Q4_K.Type;

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        SixBitScalesAndMins.Unpack<T>(unit, stride, factors, panel, WeightPanel.Bytes(Terms), WeightPanel.Mins(Terms));
        var low = T.Create(15);
        for (var pair = 0; pair < 4; pair++)
        {
            var first = panel + (2 * pair * WeightPanel.Bytes(Terms));
            var second = first + WeightPanel.Bytes(Terms);
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

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        SixBitScalesAndMins.Unpack<T>(unit, stride, factors, panel, WeightPanel.Bytes(Terms), WeightPanel.Mins(Terms));
        for (var half = 0; half < 2; half++)
        {
            T.Load(unit + Fifths + (16 * half), stride, out var f0, out var f1, out var f2, out var f3);
            for (var pair = 0; pair < 4; pair++)
            {
                var first = panel + (2 * pair * WeightPanel.Bytes(Terms)) + (256 * half);
                var second = first + WeightPanel.Bytes(Terms);
                T.Load(unit + Numbers + (32 * pair) + (16 * half), stride, out var a, out var b, out var c, out var d);
                Store(a, f0, pair, first, second);
                Store(b, f1, pair, first + 64, second + 64);
                Store(c, f2, pair, first + 128, second + 128);
                Store(d, f3, pair, first + 192, second + 192);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T numbers, T fifths, int pair, byte* first, byte* second)
        where T : struct, IByteLanes<T>
    {
        var low = T.Create(15);
        var bit = T.Create(1);
        fifths >>= 2 * pair;
        T.Store((numbers & low) | ((fifths & bit) << 4), first);
        T.Store(((numbers >> 4) & low) | (((fifths >> 1) & bit) << 4), second);
    }
}

/// <summary>The eight scales and minimums of six bits that Q4_K and Q5_K have behind their two factors.</summary>
internal static unsafe class SixBitScalesAndMins
{
    /// <summary>Writes the scales and the negative minimums of eight blocks.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel, int blockBytes, int mins)
        where T : struct, IByteLanes<T>
    {
        T.Load(unit, stride, out var both, out var a, out var b, out var c);
        var minFactors = factors + WeightPanel.Rows;
        T.StoreLowHalves(both, factors);
        // The sign goes into the factor: what is added is −factor × minimum.
        T.StoreLowHalves((both >> 16) ^ ((T.Create(255) >> 31) << 15), minFactors);
        // See SixBitScales for where the bits of the eight pairs lie in three words.
        var (six, four, two) = (T.Create(63), T.Create(15), T.Create(48));
        Store(a & six, factors, panel + WeightPanel.Scales, blockBytes);
        Store(b & six, minFactors, panel + mins, blockBytes);
        panel += 4 * blockBytes;
        Store((c & four) | ((a >> 2) & two), factors, panel + WeightPanel.Scales, blockBytes);
        Store(((c >> 4) & four) | ((b >> 2) & two), minFactors, panel + mins, blockBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T bytes, float* factors, byte* target, int blockBytes)
        where T : struct, IByteLanes<T>
    {
        for (var i = 0; i < 4; i++)
            T.StoreScales(bytes, i, 0, factors, (float*)(target + (i * blockBytes)));
    }
}

/// <summary>Q6_K in products with bytes.</summary>
internal readonly unsafe struct Q6_KWeights : IInt8Weights
{
    private const int Upper = 128;
    private const int Scales = 192;
    private const int Factor = 208;

    public static QuantType Type => Q6_K.Type;

    public static InputTerms Terms => new(Offset: 32, HasHalves: true);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        // Four bytes are read at once; those before the factor's two surely lie in the file.
        T.StoreLowHalves(T.Load(unit + Factor - 2, stride) >> 16, factors);
        SixteenScales.Unpack<T>(unit + Scales, stride, factors, panel, WeightPanel.Bytes(Terms));
        for (var part = 0; part < 4; part++)
        {
            // Sixteen columns of each of four blocks: two in the lower and two in the upper halves of the same bytes.
            var (half, at) = (part / 2, part % 2 * 16);
            var first = panel + (4 * half * WeightPanel.Bytes(Terms)) + (at * WeightPanel.Rows);
            var third = first + (2 * WeightPanel.Bytes(Terms));
            T.Load(unit + Upper + (32 * half) + at, stride, out var u0, out var u1, out var u2, out var u3);
            T.Load(unit + (64 * half) + at, stride, out var a, out var b, out var c, out var d);
            Store(a, u0, first, third);
            Store(b, u1, first + 64, third + 64);
            Store(c, u2, first + 128, third + 128);
            Store(d, u3, first + 192, third + 192);
            first += WeightPanel.Bytes(Terms);
            third += WeightPanel.Bytes(Terms);
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
    public static void Unpack<T>(byte* scales, long stride, float* factors, byte* panel, int blockBytes)
        where T : struct, IByteLanes<T>
    {
        T.Load(scales, stride, out var a, out var b, out var c, out var d);
        var target = panel + WeightPanel.Scales;
        Store(a, factors, target, blockBytes);
        Store(b, factors, target + (2 * blockBytes), blockBytes);
        Store(c, factors, target + (4 * blockBytes), blockBytes);
        Store(d, factors, target + (6 * blockBytes), blockBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(T four, float* factors, byte* target, int blockBytes)
        where T : struct, IByteLanes<T>
    {
        // Signed bytes raised by 128 are unsigned ones.
        four ^= T.Create(128);
        T.StoreScales(four, 0, 128, factors, (float*)target);
        T.StoreScales(four, 1, 128, factors, (float*)(target + WeightPanel.VectorBytes));
        target += blockBytes;
        T.StoreScales(four, 2, 128, factors, (float*)target);
        T.StoreScales(four, 3, 128, factors, (float*)(target + WeightPanel.VectorBytes));
    }
}
