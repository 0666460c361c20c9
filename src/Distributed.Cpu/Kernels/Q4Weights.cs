using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_0 in products with bytes.</summary>
internal readonly unsafe struct Q4_0Weights : IInt8Weights
{
    public static QuantType Type => Q4_0.Type;

    public static InputTerms Terms => new(Offset: 8);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        T.StoreLowHalves(T.LoadFirst(unit, stride), (float*)(panel + WeightPanel.Scales));
        Nibbles.Unpack<T>(unit + 2, stride, panel);
    }
}

/// <summary>Q4_1 in products with bytes.</summary>
internal readonly unsafe struct Q4_1Weights : IInt8Weights
{
    public static QuantType Type => Q4_1.Type;

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        var both = T.LoadFirst(unit, stride);
        T.StoreLowHalves(both, (float*)(panel + WeightPanel.Scales));
        T.StoreLowHalves(both >> 16, (float*)(panel + WeightPanel.Mins(Terms)));
        Nibbles.Unpack<T>(unit + 4, stride, panel);
    }
}

/// <summary>IQ4_NL in products with bytes: levels raised by 128.</summary>
internal readonly unsafe struct IQ4_NLWeights : IInt8Weights
{
    public static QuantType Type => IQ4_NL.Type;

    public static InputTerms Terms => new(Offset: 128);

    /// <summary><see cref="IQ4_NL.Levels"/> + 128.</summary>
    public static ReadOnlySpan<byte> Levels => [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        T.StoreLowHalves(T.LoadFirst(unit, stride), (float*)(panel + WeightPanel.Scales));
        Nibbles.UnpackLevels<T>(unit + 2, stride, Pointer(Levels), panel);
    }

    /// <summary>The address of constant data, which does not move.</summary>
    public static byte* Pointer(ReadOnlySpan<byte> constant) =>
        (byte*)Unsafe.AsPointer(ref System.Runtime.InteropServices.MemoryMarshal.GetReference(constant));
}

/// <summary>IQ4_XS in products with bytes: levels raised by 128.</summary>
internal readonly unsafe struct IQ4_XSWeights : IInt8Weights
{
    private const int Numbers = 8;

    public static QuantType Type => IQ4_XS.Type;

    public static InputTerms Terms => new(Offset: 128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        var head = T.LoadFirst(unit, stride);
        T.StoreLowHalves(head, factors);
        var lower = T.LoadFirst(unit + 4, stride);
        var block = panel;
        for (var group = 0; group < 8; group++, block += WeightPanel.Bytes(Terms))
        {
            // Two bits of the upper half of the first four bytes, above four of the second four.
            var upper = ((head >> (16 + (2 * group))) & T.Create(3)) << 4;
            T.StoreScales(((lower >> (4 * group)) & T.Create(15)) | upper, 0, 32, factors, (float*)(block + WeightPanel.Scales));
            Nibbles.UnpackLevels<T>(unit + Numbers + (16 * group), stride, IQ4_NLWeights.Pointer(IQ4_NLWeights.Levels), block);
        }
    }
}

/// <summary>MXFP4 in products with bytes: twice the floats, raised by 16.</summary>
internal readonly unsafe struct MXFP4Weights : IInt8Weights
{
    private static readonly float[] Powers = [.. Enumerable.Range(0, 256).Select(exponent => MathF.ScaleB(1, exponent - 128))];

    public static QuantType Type => MXFP4.Type;

    public static InputTerms Terms => new(Offset: 16);

    private static ReadOnlySpan<byte> Levels => [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        var scales = (float*)(panel + WeightPanel.Scales);
        for (var row = 0; row < WeightPanel.Rows; row++)
            scales[row] = Powers[unit[row * stride]];
        Nibbles.UnpackLevels<T>(unit + 1, stride, IQ4_NLWeights.Pointer(Levels), panel);
    }
}
