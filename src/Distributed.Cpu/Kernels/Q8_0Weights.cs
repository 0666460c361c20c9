using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>Q8_0 in products with bytes: numbers raised by 128.</summary>
internal readonly unsafe struct Q8_0Weights : IInt8Weights
{
    public static QuantType Type => Q8_0.Type;

    public static bool FactorsAreHalves => true;

    public static InputTerms Terms => new(Offset: 128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        T.StoreLow(T.LoadFirst(unit, stride), panel.Halves);
        Half<T>(unit + 2, stride, panel.Numbers);
        Half<T>(unit + 18, stride, panel.Numbers + 256);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Half<T>(byte* rows, long stride, byte* numbers)
        where T : struct, IByteLanes<T>
    {
        T.Load(rows, stride, out var a, out var b, out var c, out var d);
        var sign = T.Create(128);
        T.Store(a ^ sign, numbers);
        T.Store(b ^ sign, numbers + 64);
        T.Store(c ^ sign, numbers + 128);
        T.Store(d ^ sign, numbers + 192);
    }
}
