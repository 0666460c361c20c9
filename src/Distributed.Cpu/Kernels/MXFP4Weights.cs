using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>MXFP4 in products with bytes: twice the floats, raised by 16.</summary>
internal readonly unsafe struct MXFP4Weights : IInt8Weights
{
    private static readonly float[] Powers = [.. Enumerable.Range(0, 256).Select(exponent => MathF.ScaleB(1, exponent - 128))];

    public static QuantType Type => MXFP4.Type;

    public static int Bits => 5;

    public static bool FactorsAreHalves => false;

    public static bool HasHalves => false;

    public static bool HasMins => false;

    public static InputTerms Terms => new(Offset: 16, HasHalves, HasMins);

    private static ReadOnlySpan<byte> Levels => [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Factors<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        for (var row = 0; row < T.Rows; row++)
            panel.Factors[row] = Powers[unit[row * stride]];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Numbers<T>(byte* unit, long stride, int block, int half)
        where T : struct, IRowBytes<T> => Nibbles.LoadLevels<T>(unit + 1, stride, 4 * half, Levels);
}
