using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>gate = gate / (1 + e^−gate) × up.</summary>
internal static unsafe class SwiGlu<T>
    where T : struct, ILanes<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(float* gate, float* up, int count)
    {
        var one = T.Create(1);
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var x = LanesMath<T>.Load(gate + i, count - i);
            var silu = x / (one + LanesMath<T>.Exp(T.Zero - x));
            LanesMath<T>.Store(silu * LanesMath<T>.Load(up + i, count - i), gate + i, count - i);
        }
    }
}
