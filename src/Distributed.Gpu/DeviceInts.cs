using ILGPU;
using ILGPU.Runtime;

namespace Distributed.Gpu;

/// <summary>A few whole numbers that the host sends to the device each step; memory grows when there are more than ever before.</summary>
internal sealed class DeviceInts(Accelerator accelerator, HostTransfers transfers) : IDisposable
{
    private MemoryBuffer1D<int, Stride1D.Dense> _buffer = accelerator.Allocate1D<int>(1);

    /// <summary>What was sent last, and unused room behind.</summary>
    public ArrayView<int> View => _buffer.View;

    /// <summary>Makes room.</summary>
    public void Reserve(int count)
    {
        if (count <= _buffer.Length)
            return;
        // Kernels may still read what was sent before.
        transfers.Wait();
        _buffer.Dispose();
        _buffer = accelerator.Allocate1D<int>(count);
    }

    /// <summary>Sends numbers.</summary>
    public ArrayView<int> Upload(ReadOnlySpan<int> values)
    {
        Reserve(values.Length);
        transfers.Upload(values, _buffer.View);
        return _buffer.View;
    }

    /// <inheritdoc/>
    public void Dispose() => _buffer.Dispose();
}
