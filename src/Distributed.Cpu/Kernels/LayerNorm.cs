using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>y = (x − mean) / sqrt(variance + eps) × weight + bias, for one row; y may be x.</summary>
internal static unsafe class LayerNorm<T>
    where T : struct, ILanes<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Row(float* x, float* weight, float* bias, float eps, int count, float* y)
    {
        var sum = T.Zero;
        for (var i = 0; i < count; i += Lanes.Count)
            sum += LanesMath<T>.Load(x + i, count - i);
        var mean = T.Create(T.Sum(sum) / count);
        for (var i = 0; i < count; i += Lanes.Count)
            LanesMath<T>.Store(LanesMath<T>.Load(x + i, count - i) - mean, y + i, count - i);
        var scale = T.Create(1 / MathF.Sqrt((LanesMath<T>.Dot(y, y, count) / count) + eps));
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var normed = LanesMath<T>.Load(y + i, count - i) * scale * LanesMath<T>.Load(weight + i, count - i);
            if (bias is not null)
                normed += LanesMath<T>.Load(bias + i, count - i);
            LanesMath<T>.Store(normed, y + i, count - i);
        }
    }
}
