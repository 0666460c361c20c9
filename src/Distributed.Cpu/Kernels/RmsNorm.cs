using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>y = x / sqrt(mean(x²) + eps) × weight, for one row.</summary>
internal static unsafe class RmsNorm<T>
    where T : struct, ILanes<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Row(float* x, float* weight, float eps, int count, float* y)
    {
        var scale = T.Create(1 / MathF.Sqrt((LanesMath<T>.Dot(x, x, count) / count) + eps));
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var normed = LanesMath<T>.Load(x + i, count - i) * scale;
            LanesMath<T>.Store(normed * LanesMath<T>.Load(weight + i, count - i), y + i, count - i);
        }
    }
}
