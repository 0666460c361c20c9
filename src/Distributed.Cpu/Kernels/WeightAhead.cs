using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Weights that are wanted soon, asked for while those before them are worked on. The rows of a panel are a stream each, and what the
/// processor fetches by itself from so many streams comes late.
/// </summary>
internal static unsafe class WeightAhead
{
    /// <summary>How far ahead in its row.</summary>
    private const int Bytes = 384;

    private const int LineBytes = 64;

    /// <summary>Asks for what lies ahead of some bytes of each of some rows, a multiple of eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(byte* unit, long bytes, long stride, int rows)
    {
        // The same number of lines each time, if some of them twice: a loop that now and then turns once more is mispredicted.
        for (var line = unit + Bytes; line < unit + Bytes + bytes; line += LineBytes)
            for (var row = 0; row < rows; row += 8)
                Prefetch(line + (row * stride), stride);
    }

    /// <summary>Asks for a line of each of eight rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(byte* first, long stride)
    {
        if (!Sse.IsSupported)
            return;
        var last = first + (4 * stride);
        Sse.Prefetch1(first);
        Sse.Prefetch1(first + stride);
        Sse.Prefetch1(first + (2 * stride));
        Sse.Prefetch1(first + (3 * stride));
        Sse.Prefetch1(last);
        Sse.Prefetch1(last + stride);
        Sse.Prefetch1(last + (2 * stride));
        Sse.Prefetch1(last + (3 * stride));
    }
}
