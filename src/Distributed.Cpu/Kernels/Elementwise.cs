using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Operations on one row, value by value.</summary>
internal static unsafe class Elementwise<T>
    where T : struct, ILanes<T>
{
    /// <summary>target += scale × source.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddScaled(float* source, float scale, float* target, int count)
    {
        var factor = T.Create(scale);
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var sum = T.MultiplyAdd(LanesMath<T>.Load(source + i, count - i), factor, LanesMath<T>.Load(target + i, count - i));
            LanesMath<T>.Store(sum, target + i, count - i);
        }
    }

    /// <summary>values × factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scale(float* values, float factor, int count)
    {
        for (var i = 0; i < count; i += Lanes.Count)
            LanesMath<T>.Store(LanesMath<T>.Load(values + i, count - i) * T.Create(factor), values + i, count - i);
    }

    /// <summary>cap × tanh(values / cap).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SoftCap(float* values, float cap, int count)
    {
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var capped = LanesMath<T>.Tanh(LanesMath<T>.Load(values + i, count - i) / T.Create(cap)) * T.Create(cap);
            LanesMath<T>.Store(capped, values + i, count - i);
        }
    }
}
