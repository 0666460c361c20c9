using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>MXFP4 in products with bytes: twice the floats, raised by 16.</summary>
internal readonly unsafe struct MXFP4Weights : IInt8Weights
{
    private static readonly float[] Powers = [.. Enumerable.Range(0, 256).Select(exponent => MathF.ScaleB(1, exponent - 128))];

    public static QuantType Type => MXFP4.Type;

    public static bool FactorsAreHalves => false;

    public static InputTerms Terms => new(Offset: 16);

    private static ReadOnlySpan<byte> Levels => [16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        for (var row = 0; row < WeightPanel.Rows; row++)
            panel.Factors[row] = Powers[unit[row * stride]];
        Nibbles.UnpackLevels<T>(unit + 1, stride, Levels, panel.Numbers);
    }
}
