using System.Runtime.InteropServices;

namespace Distributed.Cpu;

/// <summary>Zeroed native memory on a cache line's boundary. Pages that are never touched take no room.</summary>
internal sealed unsafe class AlignedMemory : IDisposable
{
    private const int Alignment = 64;
    private void* _start;

    /// <param name="bytes">How many.</param>
    /// <exception cref="OutOfMemoryException">There are not so many.</exception>
    public AlignedMemory(long bytes)
    {
        Bytes = bytes;
        _start = NativeMemory.AllocZeroed(checked((nuint)bytes + Alignment));
        Data = (byte*)(((nuint)_start + Alignment - 1) & ~(nuint)(Alignment - 1));
        GC.AddMemoryPressure(bytes + Alignment);
    }

    ~AlignedMemory() => Free();

    /// <summary>The first byte; not valid after <see cref="Dispose"/>.</summary>
    public byte* Data { get; private set; }

    /// <summary>Bytes that may be used.</summary>
    public long Bytes { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        if (_start is null)
            return;
        NativeMemory.Free(_start);
        GC.RemoveMemoryPressure(Bytes + Alignment);
        _start = null;
        Data = null;
    }
}
