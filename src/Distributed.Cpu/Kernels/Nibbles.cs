using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Unpacks what several types share: two numbers of four bits in a byte, fifth bits apart from them, levels by index.</summary>
internal static unsafe class Nibbles
{
    /// <summary>Sixteen bytes of each row as a block: the lower halves are the first sixteen columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* rows, long stride, byte* numbers)
        where T : struct, IByteLanes<T>
    {
        T.Load(rows, stride, out var a, out var b, out var c, out var d);
        var low = T.Create(15);
        T.Store(a & low, numbers);
        T.Store(b & low, numbers + 64);
        T.Store(c & low, numbers + 128);
        T.Store(d & low, numbers + 192);
        T.Store((a >> 4) & low, numbers + 256);
        T.Store((b >> 4) & low, numbers + 320);
        T.Store((c >> 4) & low, numbers + 384);
        T.Store((d >> 4) & low, numbers + 448);
    }

    /// <summary>The same with a fifth bit for each column: bit i of four bytes belongs to column i.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void UnpackFifth<T>(byte* rows, byte* fifth, long stride, byte* numbers)
        where T : struct, IByteLanes<T>
    {
        T.Load(rows, stride, out var a, out var b, out var c, out var d);
        var bits = T.Load(fifth, stride);
        var low = T.Create(15);
        T.Store((a & low) | Fifth(bits, 28), numbers);
        T.Store((b & low) | Fifth(bits, 24), numbers + 64);
        T.Store((c & low) | Fifth(bits, 20), numbers + 128);
        T.Store((d & low) | Fifth(bits, 16), numbers + 192);
        T.Store(((a >> 4) & low) | Fifth(bits, 12), numbers + 256);
        T.Store(((b >> 4) & low) | Fifth(bits, 8), numbers + 320);
        T.Store(((c >> 4) & low) | Fifth(bits, 4), numbers + 384);
        T.Store(((d >> 4) & low) | Fifth(bits, 0), numbers + 448);
    }

    /// <summary>The same with a table of sixteen levels, which are to be constant data: that does not move.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void UnpackLevels<T>(byte* rows, long stride, ReadOnlySpan<byte> constant, byte* numbers)
        where T : struct, IByteLanes<T>
    {
        var levels = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(constant));
        T.Load(rows, stride, out var a, out var b, out var c, out var d);
        var low = T.Create(15);
        T.Store(T.Lookup(a & low, levels), numbers);
        T.Store(T.Lookup(b & low, levels), numbers + 64);
        T.Store(T.Lookup(c & low, levels), numbers + 128);
        T.Store(T.Lookup(d & low, levels), numbers + 192);
        T.Store(T.Lookup((a >> 4) & low, levels), numbers + 256);
        T.Store(T.Lookup((b >> 4) & low, levels), numbers + 320);
        T.Store(T.Lookup((c >> 4) & low, levels), numbers + 384);
        T.Store(T.Lookup((d >> 4) & low, levels), numbers + 448);
    }

    /// <summary>Four bits, shifted left by <paramref name="shift"/> to the top of a lane, as bit 4 of its four bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Fifth<T>(T bits, int shift)
        where T : struct, IByteLanes<T>
    {
        var four = (bits << shift) >> 28;
        return ((four | (four << 7) | (four << 14) | (four << 21)) & T.Create(1)) << 4;
    }
}
