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
/// <param name="isMeasured">Plans are to know how fast it is; false for a device that only stands for another in tests.</param>
public sealed class Device(
    string name, string hardware, long memoryLimit, int threads, Func<Backend> createBackend, string program = "", bool isMeasured = true)
{
    private readonly Lock _lock = new();
    private long _used;
    private Task _measured = Task.CompletedTask;

    /// <summary>The name it is configured by.</summary>
    public string Name { get; } = name;

    /// <summary>The processor's or card's own name.</summary>
    public string Hardware { get; } = hardware;

    /// <summary>The code that computes, and the instructions it may use: measured times hold for no other.</summary>
    public string Program { get; } = program;

    /// <summary>Whether it has a profile; one without is planned by its memory.</summary>
    public bool IsMeasured { get; } = isMeasured;

    /// <summary>What stages may take, bytes.</summary>
    public long MemoryLimit { get; } = memoryLimit;

    /// <summary>Ends when nobody measures the device any longer.</summary>
    public Task WhenMeasured
    {
        get
        {
            lock (_lock)
            {
                return _measured;
            }
        }
    }

    /// <summary>Makes a backend for one stage.</summary>
    public Backend CreateBackend() => createBackend();

    /// <summary>Takes memory for a stage before it loads; dispose the result to give it back.</summary>
    /// <exception cref="StageFailureException">It does not fit; the message has the numbers.</exception>
    public IDisposable Reserve(long bytes, string worker, int stage) => Reserve(bytes, "the stage takes", worker, stage);

    /// <summary>Takes memory to measure the device with; dispose the result to give it back. One at a time.</summary>
    /// <exception cref="StageFailureException">It does not fit; the message has the numbers.</exception>
    public IDisposable ReserveToMeasure(long bytes, string worker)
    {
        var measured = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var reservation = Reserve(bytes, "to measure what the device can do takes", worker, -1, measured);
        lock (_lock)
        {
            _measured = measured.Task;
        }

        return reservation;
    }

    /// <summary>The device as the protocol describes it.</summary>
    public DeviceDescription Describe()
    {
        lock (_lock)
        {
            return new DeviceDescription { Name = Name, Hardware = Hardware, MemoryLimit = MemoryLimit, MemoryUsed = _used, Threads = threads };
        }
    }

    private Reservation Reserve(long bytes, string what, string worker, int stage, TaskCompletionSource? returned = null)
    {
        lock (_lock)
        {
            if (_used + bytes > MemoryLimit)
                throw new StageFailureException(
                    FailureCode.OutOfMemory,
                    $"{what} {ByteSize.Format(bytes)} on {Name}, of which {ByteSize.Format(MemoryLimit - _used)} of {ByteSize.Format(MemoryLimit)} are free",
                    worker,
                    stage);
            _used += bytes;
        }

        return new Reservation(this, bytes, returned);
    }

    private void Return(long bytes)
    {
        lock (_lock)
        {
            _used -= bytes;
        }
    }

    private sealed class Reservation(Device device, long bytes, TaskCompletionSource? returned) : IDisposable
    {
        private int _returned;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _returned, 1) != 0)
                return;
            device.Return(bytes);
            returned?.TrySetResult();
        }
    }
}
