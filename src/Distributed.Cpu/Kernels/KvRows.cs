using System.Runtime.InteropServices;
using Distributed.Core;

namespace Distributed.Cpu.Kernels;

/// <summary>Writes rows of keys and values in the format of the cache, and reads them back as float32.</summary>
internal static unsafe class KvRows<T>
    where T : struct, ILanes<T>
{
    private const int BlockLength = 32;
    private const int BlockBytes = 34;

    /// <summary>Writes a row of <paramref name="count"/> values.</summary>
    public static void Write(KvType type, float* source, int count, byte* target)
    {
        switch (type)
        {
            case KvType.F32:
                new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(target, count));
                break;
            case KvType.F16:
                for (var i = 0; i < count; i++)
                    ((Half*)target)[i] = (Half)source[i];
                break;
            default:
                for (var i = 0; i < count; i += BlockLength, target += BlockBytes)
                    WriteBlock(source + i, target);
                break;
        }
    }

    /// <summary>Rows as float32 [rows, count]: in place where they are that already, else in <paramref name="buffer"/>.</summary>
    public static float* Read(KvType type, byte* source, int rows, int count, float* buffer)
    {
        if (type == KvType.F32)
            return (float*)source;
        var values = rows * count;
        if (type == KvType.F16)
        {
            // Rows follow each other without gaps; whole blocks of the cache end on a multiple of sixteen values.
            for (var i = 0; i < values; i += Lanes.Count)
                T.Store(T.LoadHalf((ushort*)source + i), buffer + i);
            return buffer;
        }
        for (var i = 0; i < values; i += BlockLength, source += BlockBytes)
        {
            var scale = T.Create(Halves.ToSingle(*(ushort*)source));
            T.Store(T.LoadBytes((sbyte*)source + 2) * scale, buffer + i);
            T.Store(T.LoadBytes((sbyte*)source + 2 + Lanes.Count) * scale, buffer + i + Lanes.Count);
        }
        return buffer;
    }

    private static void WriteBlock(float* source, byte* target)
    {
        var first = T.Load(source);
        var second = T.Load(source + Lanes.Count);
        var largest = T.Largest(T.Max(T.Abs(first), T.Abs(second)));
        MemoryMarshal.Write(new Span<byte>(target, 2), (Half)(largest / 127));
        var inverse = T.Create(largest < 1e-30f ? 0 : 127 / largest);
        T.StoreBytes(T.Round(first * inverse), (sbyte*)target + 2);
        T.StoreBytes(T.Round(second * inverse), (sbyte*)target + 2 + Lanes.Count);
    }
}
