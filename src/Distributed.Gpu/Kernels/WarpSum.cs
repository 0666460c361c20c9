using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>Sums over the threads of a warp or a group, in an order that depends on their number alone.</summary>
public static class WarpSum
{
    /// <summary>The most warps in a group that adds up.</summary>
    public const int MaxWarps = 32;

    /// <summary>The sum over a warp, in all its threads. All of them must be here.</summary>
    public static float OfWarp(float value) => OfLanes(value, Warp.WarpSize);

    /// <summary>The sums over so many neighbouring lanes each, in all of them. All lanes of the warp must be here.</summary>
    /// <param name="value">The lane's part.</param>
    /// <param name="lanes">How many: a power of two, at most the warp's.</param>
    public static float OfLanes(float value, int lanes)
    {
        for (var distance = lanes >> 1; distance > 0; distance >>= 1)
            value += Warp.ShuffleXor(value, distance);
        return value;
    }

    /// <inheritdoc cref="OfLanes(float, int)"/>
    public static int OfLanes(int value, int lanes)
    {
        for (var distance = lanes >> 1; distance > 0; distance >>= 1)
            value += Warp.ShuffleXor(value, distance);
        return value;
    }

    /// <summary>The largest of so many neighbouring lanes' values, in all of them. All lanes of the warp must be here.</summary>
    public static float LargestOfLanes(float value, int lanes)
    {
        for (var distance = lanes >> 1; distance > 0; distance >>= 1)
            value = Math.Max(value, Warp.ShuffleXor(value, distance));
        return value;
    }

    /// <summary>The sum over a group of whole warps, in all its threads; shared memory is free again behind it.</summary>
    /// <param name="value">The thread's part.</param>
    /// <param name="shared">Shared memory for <see cref="MaxWarps"/> values.</param>
    public static float OfGroup(float value, ArrayView<float> shared)
    {
        value = OfWarp(value);
        if (Group.DimX <= Warp.WarpSize)
            return value;
        if (Warp.LaneIdx == 0)
            shared[Warp.WarpIdx] = value;
        Group.Barrier();
        value = 0;
        for (var warp = 0; warp < Group.DimX / Warp.WarpSize; warp++)
            value += shared[warp];
        Group.Barrier();
        return value;
    }
}
