using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Worker;

/// <summary>One device of this worker: what it is, how its backend is made, and how much of its memory stages have taken.</summary>
/// <param name="name">As configured: <c>cpu</c>, <c>cuda:0</c>.</param>
/// <param name="hardware">The processor's or card's own name.</param>
/// <param name="memoryLimit">What stages may take, bytes.</param>
/// <param name="threads">Threads that compute on it, 0 where the word means nothing.</param>
/// <param name="createBackend">Makes a backend; each stage has its own.</param>
/// <param name="program">What, besides hardware and threads, sets how fast it is: the code, and the instructions it may use.</param>
public sealed class Device(string name, string hardware, long memoryLimit, int threads, Func<Backend> createBackend, string program = "")
{
    private readonly Lock _lock = new();
    private long _used;

    /// <summary>The name it is configured by.</summary>
    public string Name { get; } = name;

    /// <summary>The code that computes, and the instructions it may use: measured times hold for no other.</summary>
    public string Program { get; } = program;

    /// <summary>What stages may take, bytes.</summary>
    public long MemoryLimit { get; } = memoryLimit;

    /// <summary>Makes a backend for one stage.</summary>
    public Backend CreateBackend() => createBackend();

    /// <summary>Takes memory for a stage before it loads; dispose the result to give it back.</summary>
    /// <exception cref="StageFailureException">It does not fit; the message has the numbers.</exception>
    public IDisposable Reserve(long bytes, string worker, int stage)
    {
        lock (_lock)
        {
            if (_used + bytes > MemoryLimit)
                throw new StageFailureException(
                    FailureCode.OutOfMemory,
                    $"the stage takes {ByteSize.Format(bytes)} on {Name}, of which {ByteSize.Format(MemoryLimit - _used)} of {ByteSize.Format(MemoryLimit)} are free",
                    worker,
                    stage);
            _used += bytes;
        }

        return new Reservation(this, bytes);
    }

    /// <summary>The device as the protocol describes it.</summary>
    public DeviceDescription Describe()
    {
        lock (_lock)
        {
            return new DeviceDescription { Name = Name, Hardware = hardware, MemoryLimit = MemoryLimit, MemoryUsed = _used, Threads = threads };
        }
    }

    private void Return(long bytes)
    {
        lock (_lock)
        {
            _used -= bytes;
        }
    }

    private sealed class Reservation(Device device, long bytes) : IDisposable
    {
        private int _returned;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _returned, 1) == 0)
                device.Return(bytes);
        }
    }
}
