using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q4_0 in products with bytes.</summary>
internal readonly unsafe struct Q4_0Weights : IInt8Weights
{
    public static QuantType Type => Q4_0.Type;

    public static bool HasHalves => true;

    public static InputTerms Terms => new(Offset: 8);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        T.StoreLow(T.LoadFirst(unit, stride), panel.Halves);
        Nibbles.Unpack<T>(unit + 2, stride, panel.Numbers);
    }
}

/// <summary>Q4_1 in products with bytes.</summary>
internal readonly unsafe struct Q4_1Weights : IInt8Weights
{
    public static QuantType Type => Q4_1.Type;

    public static bool HasHalves => true;

    public static InputTerms Terms => new(Offset: 0, HasMins: true);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var both = T.LoadFirst(unit, stride);
        T.StoreLow(both, panel.Halves);
        T.StoreLow(both >> 16, panel.Halves + WeightPanel.Rows);
        Nibbles.Unpack<T>(unit + 4, stride, panel.Numbers);
    }
}

/// <summary>IQ4_NL in products with bytes: levels raised by 128.</summary>
internal readonly unsafe struct IQ4_NLWeights : IInt8Weights
{
    public static QuantType Type => IQ4_NL.Type;

    public static bool HasHalves => true;

    public static InputTerms Terms => new(Offset: 128);

    /// <summary><see cref="IQ4_NL.Levels"/> + 128.</summary>
    public static ReadOnlySpan<byte> Levels => [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        T.StoreLow(T.LoadFirst(unit, stride), panel.Halves);
        Nibbles.UnpackLevels<T>(unit + 2, stride, Pointer(Levels), panel.Numbers);
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

    public static bool HasHalves => false;

    public static InputTerms Terms => new(Offset: 128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var upper = T.LoadFirst(unit, stride);
        var lower = T.LoadFirst(unit + 4, stride);
        T.StoreLowHalves(upper, panel.Scratch);
        // Two bits each in the upper half of the first four bytes, above four each of the second four.
        upper >>= 16;
        for (var group = 0; group < 8; group++, upper >>= 2, lower >>= 4)
        {
            var block = panel.From(group, Terms);
            T.StoreScales((lower & T.Create(15)) | ((upper & T.Create(3)) << 4), 0, 32, panel.Scratch, block.Factors);
            Nibbles.UnpackLevels<T>(unit + Numbers + (16 * group), stride, IQ4_NLWeights.Pointer(IQ4_NLWeights.Levels), block.Numbers);
        }
    }
}

/// <summary>MXFP4 in products with bytes: twice the floats, raised by 16.</summary>
internal readonly unsafe struct MXFP4Weights : IInt8Weights
{
    private static readonly float[] Powers = [.. Enumerable.Range(0, 256).Select(exponent => MathF.ScaleB(1, exponent - 128))];

    public static QuantType Type => MXFP4.Type;

    public static bool HasHalves => false;

    public static InputTerms Terms => new(Offset: 16);

    private static ReadOnlySpan<byte> Levels => [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        for (var row = 0; row < WeightPanel.Rows; row++)
            panel.Factors[row] = Powers[unit[row * stride]];
        Nibbles.UnpackLevels<T>(unit + 1, stride, IQ4_NLWeights.Pointer(Levels), panel.Numbers);
    }
}
