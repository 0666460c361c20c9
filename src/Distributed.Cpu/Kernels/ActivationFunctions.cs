using System.Runtime.CompilerServices;
using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>gate = activation(gate) × up, or activation(gate) without up.</summary>
internal static unsafe class ActivationFunctions<T>
    where T : struct, ILanes<T>
{
    private const float ClampLimit = 7;

    public static void Run(Activation activation, float* gate, float* up, int count)
    {
        switch (activation)
        {
            case Activation.Silu:
                Run<Silu>(gate, up, count);
                break;
            case Activation.Gelu:
                Run<Gelu>(gate, up, count);
                break;
            default:
                Run<ClampedSwish>(gate, up, count);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run<TFunction>(float* gate, float* up, int count)
        where TFunction : struct, IFunction
    {
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var x = TFunction.Of(LanesMath<T>.Load(gate + i, count - i));
            if (up is not null)
                x *= TFunction.OfUp(LanesMath<T>.Load(up + i, count - i));
            LanesMath<T>.Store(x, gate + i, count - i);
        }
    }

    /// <summary>x / (1 + e^−factor x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Swish(T x, T scaled) => x / (T.Create(1) + LanesMath<T>.Exp(T.Zero - scaled));

    private interface IFunction
    {
        static abstract T Of(T gate);

        static virtual T OfUp(T up) => up;
    }

    private readonly struct Silu : IFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Of(T gate) => Swish(gate, gate);
    }

    private readonly struct Gelu : IFunction
    {
        // 2 √(2/π), and the same times 0.044715.
        private const float Linear = 1.5957691216f;
        private const float Cubic = 0.0713548163f;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Of(T gate) => Swish(gate, gate * T.MultiplyAdd(gate * gate, T.Create(Cubic), T.Create(Linear)));
    }

    private readonly struct ClampedSwish : IFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Of(T gate)
        {
            var x = T.Min(gate, T.Create(ClampLimit));
            return Swish(x, x * T.Create(1.702f));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T OfUp(T up) => T.Max(T.Min(up, T.Create(ClampLimit)), T.Create(-ClampLimit)) + T.Create(1);
    }
}
