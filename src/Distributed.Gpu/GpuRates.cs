using System.Diagnostics;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Runtime;

namespace Distributed.Gpu;

/// <summary>
/// What a device can do at best right now, whatever the model: bytes copied within its memory and multiplications per second. Each call
/// measures anew, in some tens of milliseconds.
/// </summary>
public sealed class GpuRates : IDisposable
{
    // Some times the largest cache of a card; ILGPU's CPU device is there to see that it works.
    private const long CardBuffer = 256L << 20;
    private const long CpuBuffer = 8L << 20;
    private const double ShortestSeconds = 0.01;

    private readonly Accelerator _accelerator;
    private readonly AcceleratorStream _stream;
    private readonly MemoryBuffer1D<byte, Stride1D.Dense> _from;
    private readonly MemoryBuffer1D<byte, Stride1D.Dense> _to;
    private readonly Lazy<Loop> _bytes;
    private readonly Lazy<Loop> _floats;

    /// <param name="device">The device.</param>
    public GpuRates(GpuAccelerator device)
    {
        _accelerator = device.Accelerator;
        _stream = _accelerator.CreateStream();
        _from = _accelerator.Allocate1D<byte>(BufferBytes(device) / 2);
        _to = _accelerator.Allocate1D<byte>(BufferBytes(device) / 2);
        _from.MemSetToZero(_stream);
        _to.MemSetToZero(_stream);
        _bytes = new(() => device.IsTensor
            ? new Loop(this, RateKernels.Tensor, RateKernels.TensorOperations)
            : new Loop(this, RateKernels.Bytes, RateKernels.ByteOperations));
        _floats = new(() => new Loop(this, RateKernels.Floats, RateKernels.FloatOperations));
    }

    /// <summary>Bytes of the device's memory that it takes.</summary>
    public static long BufferBytes(GpuAccelerator device) =>
        device.Accelerator.AcceleratorType == AcceleratorType.CPU ? CpuBuffer : 2 * CardBuffer;

    /// <summary>Bytes per second of a copy within the device's memory, those read and those written.</summary>
    public double CopyRate()
    {
        const int Copies = 8;
        var seconds = Time(() =>
        {
            for (var i = 0; i < Copies; i++)
                _from.View.CopyTo(_stream, _to.View);
        });
        return 2.0 * Copies * _from.Length / seconds;
    }

    /// <summary>Operations per second on bytes, two to a multiply-add, with the best instruction there is.</summary>
    public double ByteRate() => _bytes.Value.Measure();

    /// <summary>The same on float32: fused multiply-adds.</summary>
    public double FloatRate() => _floats.Value.Measure();

    /// <inheritdoc/>
    public void Dispose()
    {
        _from.Dispose();
        _to.Dispose();
        _stream.Dispose();
    }

    private double Time(Action enqueue)
    {
        _stream.Synchronize();
        var start = Stopwatch.GetTimestamp();
        enqueue();
        _stream.Synchronize();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>A loop that runs on all the threads that the device has at once, for as many turns as take long enough to be timed.</summary>
    private sealed class Loop
    {
        private readonly GpuRates _rates;
        private readonly int _operations;
        private readonly int _threads;
        private readonly Action<AcceleratorStream, Index1D, ArrayView<int>, int> _kernel;
        private readonly int _turns = 64;

        public Loop(GpuRates rates, Action<Index1D, ArrayView<int>, int> kernel, int operations)
        {
            (_rates, _operations) = (rates, operations);
            _threads = checked((int)Math.Min(
                _rates._accelerator.NumMultiprocessors * (long)_rates._accelerator.MaxNumThreadsPerMultiprocessor, _rates._to.Length / sizeof(int)));
            _kernel = _rates._accelerator.LoadAutoGroupedKernel(kernel);
            // The first run compiles it.
            Run();
            while (Run() < ShortestSeconds && _turns < 1 << 24)
                _turns *= 2;
        }

        public double Measure() => (double)_threads * _turns * _operations / Run();

        private double Run() => _rates.Time(() => _kernel(_rates._stream, _threads, _rates._to.View.BaseView.Cast<int>(), _turns));
    }
}
