using System.Diagnostics;
using Distributed.Cpu.Kernels;

namespace Distributed.Cpu;

/// <summary>
/// What the machine can do at best right now, whatever the model: bytes read from memory and multiplications per second. Each call
/// measures anew, in some tens of milliseconds, so that it can be set beside what was timed just before or after: on machines that
/// are shared, both go up and down.
/// </summary>
public sealed class PeakRates : IDisposable
{
    private const long SmallestBuffer = 1L << 30;
    private const long LargestBuffer = 4L << 30;

    private readonly AlignedMemory _buffer;

    /// <param name="bufferBytes">How much is read to measure bandwidth; see <see cref="DefaultBufferBytes"/>.</param>
    public PeakRates(long bufferBytes)
    {
        _buffer = new AlignedMemory(bufferBytes);
        unsafe
        {
            // Pages that were never written to are one and the same page of zeros, which stays in the cache.
            for (var at = 0L; at < bufferBytes; at += Environment.SystemPageSize)
                _buffer.Data[at] = 1;
        }
    }

    /// <summary>
    /// Far more than caches hold, so that little of what a pass reads is left from the one before: four times the last-level cache,
    /// from 1 to 4 GiB; 1 GiB where the system does not tell its size.
    /// </summary>
    public static long DefaultBufferBytes { get; } = Math.Clamp(4 * ProcessorCaches.LastLevelBytes, SmallestBuffer, LargestBuffer);

    /// <summary>Bytes of memory that it holds.</summary>
    public long BufferBytes => _buffer.Bytes;

    /// <summary>Bytes per second of one plain read of the buffer.</summary>
    /// <param name="threads">Who reads.</param>
    public unsafe double ReadRate(CpuThreads threads)
    {
        var work = new ReadWork(_buffer.Data, _buffer.Bytes);
        var start = Stopwatch.GetTimestamp();
        threads.Run(ref work, work.Chunks);
        return work.Bytes / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>
    /// Operations per second on bytes, two to a multiply-add, with the best instructions there are and all operands in registers.
    /// </summary>
    /// <param name="threads">Who computes.</param>
    /// <param name="instructions">The most to use of what the processor has.</param>
    public static double ByteRate(CpuThreads threads, InstructionSets instructions = InstructionSets.All) =>
        Measure(threads, PeakLoops.Bytes, instructions);

    /// <summary>The same on float32: fused multiply-adds.</summary>
    /// <param name="threads">Who computes.</param>
    /// <param name="instructions">The most to use of what the processor has.</param>
    public static double FloatRate(CpuThreads threads, InstructionSets instructions = InstructionSets.All) =>
        Measure(threads, PeakLoops.Floats, instructions);

    /// <inheritdoc/>
    public void Dispose() => _buffer.Dispose();

    private static double Measure(CpuThreads threads, IReadOnlyList<PeakLoop> loops, InstructionSets instructions)
    {
        var loop = loops.First(loop => (loop.Needs & ~(instructions & Processor.Instructions)) == 0);
        var work = new PeakWork(loop, threads.Count);
        var start = Stopwatch.GetTimestamp();
        threads.Run(ref work, work.Chunks);
        return work.Operations / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Reads a buffer in chunks as large as those of a product.</summary>
    private readonly unsafe struct ReadWork(byte* data, long bytes) : IParallelWork
    {
        private const int ChunkBytes = 1 << 20;

        public int Chunks => (int)(bytes / ChunkBytes);

        public double Bytes => (double)Chunks * ChunkBytes;

        public void Run(int chunk) => PeakLoops.Read(data + ((long)chunk * ChunkBytes), ChunkBytes);
    }

    /// <summary>Runs a loop some times over on every thread.</summary>
    private readonly struct PeakWork(PeakLoop loop, int threads) : IParallelWork
    {
        // Enough turns for a chunk of about a millisecond, and enough chunks that threads end together.
        private const int Turns = 1 << 18;
        private const int ChunksPerThread = 16;

        public int Chunks => threads * ChunksPerThread;

        public double Operations => (double)Chunks * Turns * loop.Operations;

        public void Run(int chunk) => loop.Run(Turns);
    }
}
