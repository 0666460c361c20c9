using Distributed.Core;
using ILGPU;
using ILGPU.Runtime;

namespace Distributed.Gpu;

/// <summary>
/// A backend's memory on its device. What a stage will take is allocated at once (<see cref="Prepare"/>) and handed out piece by piece;
/// what goes beyond it gets memory of its own. All of it is given back with the backend.
/// </summary>
internal sealed class GpuMemory(GpuAccelerator device) : IDisposable
{
    // What devices ask of the address of the widest loads, and more.
    private const long Alignment = 256;

    private readonly HashSet<MemoryBuffer1D<byte, Stride1D.Dense>> _apart = [];
    private readonly List<MemoryBuffer1D<byte, Stride1D.Dense>> _used = [];
    private MemoryBuffer1D<byte, Stride1D.Dense>? _prepared;
    private long _handedOut;

    /// <summary>Bytes allocated on the device.</summary>
    public long Bytes => (_prepared?.Length ?? 0) + _used.Sum(buffer => buffer.Length) + _apart.Sum(buffer => buffer.Length);

    /// <summary>Pieces of memory that were asked of the device, and are held.</summary>
    public int Allocations => (_prepared is null ? 0 : 1) + _used.Count + _apart.Count;

    /// <summary>Allocates what is going to be asked for.</summary>
    /// <param name="bytes">All together.</param>
    /// <param name="pieces">In how many pieces; each may be moved up to an address that suits.</param>
    /// <exception cref="DeviceFullException">The device has less.</exception>
    public void Prepare(long bytes, int pieces)
    {
        bytes += pieces * Alignment;
        if (device.FreeMemory is { } free && free < bytes)
            throw new DeviceFullException(device.Name, bytes, free);
        // One backend may load stages one after the other.
        if (_prepared is not null)
            _used.Add(_prepared);
        (_prepared, _handedOut) = (Take(bytes), 0);
    }

    /// <summary>Memory that holds zeros; disposing of the second part gives back what is apart at once.</summary>
    /// <exception cref="DeviceFullException">The device has less.</exception>
    public (ArrayView<byte> View, IDisposable? Apart) Allocate(long bytes)
    {
        // An empty view has no address that kernels could be given.
        var length = Math.Max(Alignment, (bytes + Alignment - 1) / Alignment * Alignment);
        if (_prepared is not null && _handedOut + length <= _prepared.Length)
        {
            var view = _prepared.View.BaseView.SubView(_handedOut, bytes);
            _handedOut += length;
            return (view, null);
        }

        var buffer = Take(length);
        _apart.Add(buffer);
        return (buffer.View.BaseView.SubView(0, bytes), new Piece(this, buffer));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _prepared?.Dispose();
        foreach (var buffer in _used.Concat(_apart))
            buffer.Dispose();
        _apart.Clear();
    }

    private MemoryBuffer1D<byte, Stride1D.Dense> Take(long bytes)
    {
        try
        {
            // What is in it must not depend on who had it before: a key that nobody may look at is still read, and then left out.
            var buffer = device.Accelerator.Allocate1D<byte>(bytes);
            buffer.MemSetToZero();
            device.Accelerator.Synchronize();
            return buffer;
        }
        catch (Exception error) when (error is AcceleratorException or OutOfMemoryException)
        {
            throw new DeviceFullException(device.Name, bytes, device.FreeMemory, error);
        }
    }

    private sealed class Piece(GpuMemory memory, MemoryBuffer1D<byte, Stride1D.Dense> buffer) : IDisposable
    {
        public void Dispose()
        {
            if (memory._apart.Remove(buffer))
                buffer.Dispose();
        }
    }
}
