using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// The part of the cache that is read next, asked for bit by bit while many queries are worked on, which would wait for it
/// otherwise. With a few queries the processor's own looking ahead is better.
/// </summary>
internal unsafe struct NextBlock
{
    private const int LineBytes = 64;
    private readonly byte* _end;
    private readonly long _step;
    private byte* _at;

    /// <param name="start">Where it begins.</param>
    /// <param name="bytes">Its size; zero when there is none.</param>
    /// <param name="parts">How often <see cref="Prefetch"/> is called; nothing is asked for if only once.</param>
    public NextBlock(byte* start, long bytes, int parts)
    {
        _at = start;
        _end = start + (parts > 1 && Sse.IsSupported ? bytes : 0);
        _step = bytes / parts;
    }

    /// <summary>Asks for the next part.</summary>
    public void Prefetch()
    {
        if (_at >= _end)
            return;
        for (var stop = _at + _step; _at < stop; _at += LineBytes)
            Sse.Prefetch1(_at);
    }
}
