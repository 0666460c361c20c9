using System.Runtime.InteropServices;
using ILGPU;
using ILGPU.Runtime;

namespace Distributed.Gpu;

/// <summary>
/// Copies between host and device. Small ones go through page-locked memory that is free again when the host has waited for the
/// device: so a step's positions, tables and angles are sent without waiting. Large ones wait.
/// </summary>
internal sealed class HostTransfers : IDisposable
{
    private const int StagingBytes = 1 << 20;
    private const int Alignment = 16;

    private readonly AcceleratorStream _stream;
    private readonly PageLockedArray1D<byte> _staging;
    private int _used;

    private readonly KernelClock _clock;

    public HostTransfers(Accelerator accelerator, AcceleratorStream stream, KernelClock clock)
    {
        (_stream, _clock) = (stream, clock);
        _staging = accelerator.AllocatePageLocked1D<byte>(StagingBytes);
    }

    /// <summary>How often the host has waited for the device.</summary>
    public long Waits { get; private set; }

    /// <summary>Copies to the device; what is enqueued behind sees it.</summary>
    public void Upload<T>(ReadOnlySpan<T> source, ArrayView<T> target)
        where T : unmanaged
    {
        if (source.IsEmpty)
            return;
        _clock.Next("copy to the device");
        var bytes = MemoryMarshal.AsBytes(source);
        var view = target.Cast<byte>().SubView(0, bytes.Length);
        if (bytes.Length > StagingBytes / 2)
        {
            view.CopyFromCPU(_stream, bytes);
            Wait();
            return;
        }

        if (_used + bytes.Length > StagingBytes)
            Wait();
        var staged = _staging.Span.Slice(_used, bytes.Length);
        bytes.CopyTo(staged);
        view.CopyFromCPUUnsafeAsync(_stream, ref staged[0], bytes.Length);
        _used += (bytes.Length + Alignment - 1) / Alignment * Alignment;
    }

    /// <summary>Copies to the host, and waits until everything enqueued is done.</summary>
    public void Download(ArrayView<float> source, Span<float> target)
    {
        _clock.Next("copy to the host");
        if (!target.IsEmpty)
            source.SubView(0, target.Length).CopyToCPU(_stream, target);
        Wait();
    }

    /// <summary>Waits until everything enqueued is done.</summary>
    public void Wait()
    {
        _stream.Synchronize();
        // What the device waits for from here on is the host.
        _clock.Next("waiting for the host");
        Waits++;
        _used = 0;
    }

    /// <inheritdoc/>
    public void Dispose() => _staging.Dispose();
}
