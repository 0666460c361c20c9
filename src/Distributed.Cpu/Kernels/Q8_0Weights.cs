using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q8_0 in products with bytes: numbers raised by 128.</summary>
internal readonly unsafe struct Q8_0Weights : IInt8Weights
{
    public static QuantType Type => Q8_0.Type;

    public static InputTerms Terms => new(Offset: 128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, float* factors, byte* panel)
        where T : struct, IByteLanes<T>
    {
        T.StoreLowHalves(T.LoadFirst(unit, stride), (float*)(panel + WeightPanel.Scales));
        Half<T>(unit + 2, stride, panel);
        Half<T>(unit + 18, stride, panel + 256);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Half<T>(byte* rows, long stride, byte* panel)
        where T : struct, IByteLanes<T>
    {
        T.Load(rows, stride, out var a, out var b, out var c, out var d);
        var sign = T.Create(128);
        T.Store(a ^ sign, panel);
        T.Store(b ^ sign, panel + 64);
        T.Store(c ^ sign, panel + 128);
        T.Store(d ^ sign, panel + 192);
    }
}
