using Distributed.Cpu;
using Distributed.Gpu;
using Distributed.Worker;

namespace Distributed.Cli.Bench;

/// <summary>Measures what a device can do at best, whatever the model.</summary>
internal abstract class LimitMeter : IDisposable
{
    /// <summary>Bytes of this process that it measures with.</summary>
    public abstract long HostBytes { get; }

    /// <summary>Bytes of the device's own memory that nobody has taken, by its driver; null where there is none, or no driver says.</summary>
    public abstract long? FreeDeviceMemory { get; }

    /// <summary>The meter for a device that is open.</summary>
    public static LimitMeter For(Device device) =>
        device.Name == DeviceInventory.Cpu ? new CpuLimitMeter() : new GpuLimitMeter(GpuDevices.Open(device.Name));

    /// <summary>Bytes that it takes where the device computes.</summary>
    public static long BytesFor(Device device) =>
        device.Name == DeviceInventory.Cpu ? PeakRates.DefaultBufferBytes : GpuRates.BufferBytes(GpuDevices.Open(device.Name));

    /// <summary>Measures: the best of a few tries.</summary>
    /// <param name="threads">Who reads and multiplies, where the device has threads to choose.</param>
    /// <param name="isFloat">The model's weights are multiplied as float32, not as bytes.</param>
    public abstract Limits Measure(int threads, bool isFloat);

    /// <inheritdoc/>
    public abstract void Dispose();

    // Tens of milliseconds each: others that take a core for a moment must not pass for the machine.
    private protected static double Best(Func<double> rate) => Enumerable.Range(0, 3).Max(_ => rate());

    private sealed class CpuLimitMeter : LimitMeter
    {
        private readonly PeakRates _rates = new(PeakRates.DefaultBufferBytes);
        private CpuThreads? _threads;

        public override long HostBytes => _rates.BufferBytes;

        public override long? FreeDeviceMemory => null;

        public override Limits Measure(int threads, bool isFloat)
        {
            if (_threads?.Count != threads)
            {
                _threads?.Dispose();
                _threads = new CpuThreads(threads);
            }
            return new(
                Best(() => _rates.ReadRate(_threads)), Best(() => isFloat ? PeakRates.FloatRate(_threads) : PeakRates.ByteRate(_threads)),
                threads);
        }

        public override void Dispose()
        {
            _threads?.Dispose();
            _rates.Dispose();
        }
    }

    private sealed class GpuLimitMeter(GpuAccelerator device) : LimitMeter
    {
        private readonly GpuRates _rates = new(device);

        // A card's buffers are its own; ILGPU's CPU device has none but the process's.
        public override long HostBytes => device.MemoryBytes == 0 ? GpuRates.BufferBytes(device) : 0;

        public override long? FreeDeviceMemory => device.FreeMemory;

        public override Limits Measure(int threads, bool isFloat) =>
            new(Best(_rates.CopyRate), Best(isFloat ? _rates.FloatRate : _rates.ByteRate), threads);

        public override void Dispose() => _rates.Dispose();
    }
}
