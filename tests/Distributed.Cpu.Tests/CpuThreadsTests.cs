using System.Diagnostics;

namespace Distributed.Cpu.Tests;

public class CpuThreadsTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Every_chunk_is_done_once(int threads)
    {
        using var pool = new CpuThreads(threads);
        for (var run = 0; run < 2000; run++)
        {
            var work = new Counting(run % 17);
            pool.Run(ref work, work.Counts.Length);
            Assert.All(work.Counts, count => Assert.Equal(1, count));
        }
    }

    [Fact]
    public void Threads_that_fell_asleep_wake_up_again()
    {
        using var pool = new CpuThreads(3);
        for (var run = 0; run < 5; run++)
        {
            Thread.Sleep(50);
            using var barrier = new Barrier(3);
            var work = new WaitingForOthers(barrier, 3);
            pool.Run(ref work, 3);
            Assert.Equal(3, work.Threads.Distinct().Count());
        }
    }

    [Fact]
    public void Work_not_worth_sharing_stays_on_the_caller()
    {
        using var pool = new CpuThreads(3);
        var work = new Counting(50);
        pool.Run(ref work, 50, share: false);
        Assert.All(work.Threads, thread => Assert.Equal(Environment.CurrentManagedThreadId, thread));
    }

    [Fact]
    public void An_exception_in_a_chunk_reaches_the_caller_after_all_chunks_ended()
    {
        using var pool = new CpuThreads(3);
        for (var run = 0; run < 100; run++)
        {
            var work = new Failing(20);
            Assert.Throws<InvalidTimeZoneException>(() => pool.Run(ref work, 20));
            Assert.All(work.Counts, count => Assert.Equal(1, count));
            var next = new Counting(20);
            pool.Run(ref next, 20);
            Assert.All(next.Counts, count => Assert.Equal(1, count));
        }
    }

    [Fact]
    public void Disposing_ends_the_threads()
    {
        var before = Process.GetCurrentProcess().Threads.Count;
        var pool = new CpuThreads(20);
        pool.Dispose();
        pool.Dispose();
        var work = new Counting(3);
        Assert.Throws<ObjectDisposedException>(() => pool.Run(ref work, 3));
        // Threads of the runtime itself come and go beside ours.
        Assert.True(SpinWait.SpinUntil(() => Process.GetCurrentProcess().Threads.Count < before + 10, TimeSpan.FromSeconds(10)));
    }

    private readonly struct Counting(int chunks) : IParallelWork
    {
        public int[] Counts { get; } = new int[chunks];

        public int[] Threads { get; } = new int[chunks];

        public void Run(int chunk)
        {
            Interlocked.Increment(ref Counts[chunk]);
            Threads[chunk] = Environment.CurrentManagedThreadId;
        }
    }

    private readonly struct Failing(int chunks) : IParallelWork
    {
        public int[] Counts { get; } = new int[chunks];

        public void Run(int chunk)
        {
            Interlocked.Increment(ref Counts[chunk]);
            if (chunk % 3 == 0)
                throw new InvalidTimeZoneException();
        }
    }

    private readonly struct WaitingForOthers(Barrier barrier, int chunks) : IParallelWork
    {
        public int[] Threads { get; } = new int[chunks];

        public void Run(int chunk)
        {
            Threads[chunk] = Environment.CurrentManagedThreadId;
            Assert.True(barrier.SignalAndWait(TimeSpan.FromSeconds(30)));
        }
    }
}
