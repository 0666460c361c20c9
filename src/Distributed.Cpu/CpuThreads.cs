using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace Distributed.Cpu;

/// <summary>
/// A few threads that share the chunks of one piece of work at a time. The caller works too, and waits only for chunks that are
/// being worked on: a thread that wakes up late finds nothing left and delays nobody. Threads spin for some microseconds between
/// pieces of work, then sleep, since other processes may need the core.
/// </summary>
public sealed unsafe class CpuThreads : IDisposable
{
    private const int SpinsBeforeSleep = 120;
    private static readonly TimeSpan LongestSleep = TimeSpan.FromSeconds(5);

    private readonly Thread[] _threads;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _wake = new(0);
    private delegate*<void*, int, void> _run;
    private void* _work;
    private long _ticket; // chunks in the upper half, the next one in the lower
    private int _finished;
    private int _sleeping;
    private Exception? _failure;
    private volatile bool _stopped;

    /// <summary>Starts the threads.</summary>
    /// <param name="count">How many work at once, the caller included; at least one.</param>
    public CpuThreads(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        Count = count;
        _threads = new Thread[count - 1];
        for (var i = 0; i < _threads.Length; i++)
        {
            _threads[i] = new Thread(Serve) { IsBackground = true, Name = $"cpu {i + 1}" };
            _threads[i].Start();
        }
    }

    /// <summary>How many work at once, the caller included.</summary>
    public int Count { get; }

    /// <summary>Does all chunks of <paramref name="work"/> and returns when the last one is done. A single chunk runs in place.</summary>
    /// <param name="work">A local variable, so that its address holds.</param>
    /// <param name="chunks">How many chunks.</param>
    /// <param name="share">Whether it is worth waking threads; otherwise the caller does it all.</param>
    internal void Run<T>(ref T work, int chunks, bool share = true)
        where T : struct, IParallelWork
    {
        if (chunks <= 1 || Count == 1 || !share)
        {
            for (var chunk = 0; chunk < chunks; chunk++)
                work.Run(chunk);
            return;
        }
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_stopped, this);
            _work = Unsafe.AsPointer(ref work);
            _run = &RunChunk<T>;
            _finished = 0;
            Interlocked.Exchange(ref _ticket, (long)chunks << 32);
            var sleeping = Volatile.Read(ref _sleeping);
            if (sleeping > 0)
                _wake.Release(Math.Min(sleeping, chunks - 1));
            Take();
            var wait = new SpinWait();
            while (Volatile.Read(ref _finished) < chunks)
                wait.SpinOnce(sleep1Threshold: -1);
            if (Interlocked.Exchange(ref _failure, null) is { } failure)
                ExceptionDispatchInfo.Throw(failure);
        }
    }

    /// <summary>Ends the threads and waits for them.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_stopped)
                return;
            _stopped = true;
        }
        if (_threads.Length > 0)
            _wake.Release(_threads.Length);
        foreach (var thread in _threads)
            thread.Join();
        _wake.Dispose();
    }

    private static void RunChunk<T>(void* work, int chunk)
        where T : struct, IParallelWork => Unsafe.AsRef<T>(work).Run(chunk);

    private static bool HasChunks(long ticket) => (int)ticket < (int)(ticket >> 32);

    /// <summary>Works on chunks until none is left. Whoever holds an unfinished chunk may read the work: it stays until all are finished.</summary>
    private void Take()
    {
        while (HasChunks(Volatile.Read(ref _ticket)))
        {
            var ticket = Interlocked.Increment(ref _ticket) - 1;
            if (!HasChunks(ticket))
                return;
            try
            {
                _run(_work, (int)ticket);
            }
#pragma warning disable CA1031 // Whatever it is, Run throws it once nobody works on the chunks any more.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                Volatile.Write(ref _failure, exception);
            }
            Interlocked.Increment(ref _finished);
        }
    }

    private void Serve()
    {
        var spins = 0;
        while (!_stopped)
        {
            if (HasChunks(Volatile.Read(ref _ticket)))
            {
                Take();
                spins = 0;
            }
            else if (spins++ < SpinsBeforeSleep)
            {
                Thread.SpinWait(10);
            }
            else
            {
                Interlocked.Increment(ref _sleeping);
                if (!HasChunks(Volatile.Read(ref _ticket)) && !_stopped)
                    _wake.Wait(LongestSleep);
                Interlocked.Decrement(ref _sleeping);
                spins = 0;
            }
        }
    }
}
