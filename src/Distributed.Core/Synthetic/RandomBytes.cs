using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Distributed.Core.Synthetic;

/// <summary>
/// Eight xorshift generators side by side (Marsaglia 2003): random enough for weights, and faster than memory. The same seed gives
/// the same bytes on every machine.
/// </summary>
internal struct RandomBytes
{
    private Vector512<ulong> _state;

    /// <param name="seed">Seeds next to each other give bytes that have nothing in common.</param>
    public RandomBytes(ulong seed)
    {
        // Generators must not start at 0; SplitMix64 (Steele et al. 2014) gives them states far apart.
        Span<ulong> states = stackalloc ulong[Vector512<ulong>.Count];
        foreach (ref var state in states)
        {
            seed += 0x9E3779B97F4A7C15;
            state = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9;
            state = (state ^ (state >> 27)) * 0x94D049BB133111EB;
            state = (state ^ (state >> 31)) | 1;
        }
        _state = Vector512.Create<ulong>(states);
    }

    /// <summary>Fills with random bytes.</summary>
    public void Fill(Span<byte> bytes)
    {
        var whole = MemoryMarshal.Cast<byte, Vector512<ulong>>(bytes);
        var state = _state;
        foreach (ref var vector in whole)
            vector = state = Next(state);
        _state = Next(state);
        var rest = bytes[(whole.Length * Vector512<byte>.Count)..];
        MemoryMarshal.AsBytes(new ReadOnlySpan<Vector512<ulong>>(in _state))[..rest.Length].CopyTo(rest);
    }

    private static Vector512<ulong> Next(Vector512<ulong> x)
    {
        x ^= x << 13;
        x ^= x >> 7;
        return x ^ (x << 17);
    }
}
