using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Unpacks what several types share: two numbers of four bits in a byte, fifth bits apart from them, levels by index.</summary>
internal static unsafe class Nibbles
{
    /// <summary>The lower (<paramref name="shift"/> 0) or upper (4) halves of sixteen bytes of each row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Load<T>(byte* rows, long stride, int shift)
        where T : struct, IRowBytes<T> => (T.Load(rows, stride) >> shift) & 15;

    /// <summary>The same with a fifth bit for each column: bit i of four bytes belongs to column i.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T LoadFifth<T>(byte* rows, byte* fifth, long stride, int half)
        where T : struct, IRowBytes<T> =>
        Load<T>(rows, stride, 4 * half) | (T.LoadBits(fifth, stride, half) & 16);

    /// <summary>The same with a table of sixteen levels, which are to be constant data: that does not move.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T LoadLevels<T>(byte* rows, long stride, int shift, ReadOnlySpan<byte> constant)
        where T : struct, IRowBytes<T> =>
        T.Lookup(Load<T>(rows, stride, shift), (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(constant)));
}
