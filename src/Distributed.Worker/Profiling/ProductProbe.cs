using System.Diagnostics;
using System.Runtime.InteropServices;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Core.Synthetic;

namespace Distributed.Worker.Profiling;

/// <summary>Times products with random weights of a format, as a layer has them: two matrices behind one input.</summary>
internal sealed unsafe class ProductProbe : IDisposable
{
    private const long MiB = 1 << 20;
    private const double PassSeconds = 0.015;
    private const double Budget = 0.02;

    // Few tokens are bound by memory, so their weights must come from there; many are bound by arithmetic, and would take long.
    private static readonly (int Tokens, long Bytes)[] ByTokens =
    [
        (1, long.MaxValue), (2, long.MaxValue), (4, 32 * MiB), (8, 32 * MiB), (16, 8 * MiB), (64, 4 * MiB), (256, 2 * MiB),
    ];

    private const long BytesOfLengths = 48 * MiB;

    private static readonly int[] WarmUpTokens = [1, 8, 64];
    private static readonly long[] CachedBytes = [MiB / 4, MiB, 4 * MiB, 16 * MiB];

    private readonly Backend _backend;
    private readonly ProbeSizes _sizes;
    // Short rows cost more: what is done once for each counts.
    private readonly int[] _rowLengths;
    private readonly CancellationToken _cancellation;
    private readonly Dictionary<int, Activations> _inputs = [];
    private readonly Activations[] _outputs;
    private readonly byte* _data;

    /// <param name="backend">Computes.</param>
    /// <param name="sizes">How large matrices and batches are.</param>
    /// <param name="bytes">Weights that no cache holds.</param>
    /// <param name="cancellation">Gives up.</param>
    public ProductProbe(Backend backend, ProbeSizes sizes, long bytes, CancellationToken cancellation)
    {
        _backend = backend;
        _sizes = sizes;
        _rowLengths = [sizes.Width / 4, sizes.Width / 2, sizes.Width];
        _cancellation = cancellation;
        Bytes = bytes;
        _data = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 64);
        _outputs = [backend.Allocate(sizes.MostTokens, sizes.Width), backend.Allocate(sizes.MostTokens, sizes.Width)];
        var values = new float[sizes.MostTokens * sizes.Width];
        var random = new Random(1);
        foreach (ref var value in values.AsSpan())
            value = random.NextSingle() - 0.5f;
        foreach (var columns in _rowLengths)
        {
            var rows = columns == sizes.Width ? sizes.MostTokens : 1;
            _inputs[columns] = backend.Allocate(rows, columns);
            backend.Upload(values.AsSpan(0, rows * columns), _inputs[columns], rows);
            backend.Reserve(rows, columns);
        }
    }

    /// <summary>Bytes of weights at most.</summary>
    public long Bytes { get; }

    /// <summary>All figures of a format.</summary>
    /// <param name="type">The format.</param>
    /// <param name="readSecondsPerByte">What a plain read of memory takes; 0 where that is not known yet.</param>
    public TypeProfile Measure(QuantType type, double readSecondsPerByte)
    {
        var few = Math.Min(MiB, Bytes);
        Fill(type, few);
        // The first calls compile code, and tell how much of a slow format fits the time.
        var rough = Seconds(type, 1, few, _sizes.Width) / few;
        var most = (long)Math.Clamp(PassSeconds / rough, Math.Min(48 * MiB, Bytes), Bytes);
        Fill(type, most);
        var profile = new TypeProfile { Type = type.Name };
        foreach (var (tokens, bytes) in ByTokens.Where(entry => entry.Tokens <= _sizes.MostTokens))
            profile.ByTokens.Add(Time(type, tokens, Math.Min(bytes, most)));
        foreach (var bytes in CachedBytes.Where(bytes => bytes < most))
            profile.ByBytes.Add(Time(type, 1, bytes));
        // At the worst a product waits for its bytes and multiplies then; if it took longer, something else was in its way.
        var slowest = profile.ByBytes[^1].SecondsPerByte + readSecondsPerByte;
        if (readSecondsPerByte > 0 && profile.ByTokens[0].SecondsPerByte > slowest)
            profile.ByTokens[0].SecondsPerByte = slowest;
        profile.ByBytes.Add(new ProductTime(profile.ByTokens[0]));
        foreach (var columns in _rowLengths)
        {
            var bytes = Math.Min(BytesOfLengths, most);
            profile.ByColumns.Add(new ProductTime
            {
                Tokens = 1,
                Bytes = bytes,
                Columns = columns,
                SecondsPerByte = Seconds(type, 1, bytes, columns) / bytes,
            });
        }

        return profile;
    }

    /// <summary>Runs products until the processor and the runtime's compiler are at their best.</summary>
    /// <param name="type">The format.</param>
    /// <param name="duration">For how long.</param>
    public void WarmUp(QuantType type, TimeSpan duration)
    {
        var few = Math.Min(MiB, Bytes);
        Fill(type, few);
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < duration)
            foreach (var tokens in WarmUpTokens.Where(tokens => tokens <= _sizes.MostTokens))
                Seconds(type, tokens, few, _sizes.Width);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var input in _inputs.Values)
            input.Dispose();
        foreach (var output in _outputs)
            output.Dispose();
        NativeMemory.AlignedFree(_data);
    }

    private ProductTime Time(QuantType type, int tokens, long bytes)
    {
        var seconds = Seconds(type, tokens, bytes, _sizes.Width);
        return new ProductTime { Tokens = tokens, Bytes = bytes, Columns = _sizes.Width, SecondsPerByte = seconds / bytes };
    }

    private double Seconds(QuantType type, int tokens, long bytes, int columns)
    {
        var input = _inputs[columns];
        var rowBytes = type.RowBytes(columns);
        var left = Math.Max(2, bytes / rowBytes);
        var pairs = new List<Weight[]>();
        for (var at = 0L; left >= 2;)
        {
            var rows = Math.Min(_sizes.Width, left / 2);
            pairs.Add([Matrix(at, rows), Matrix(at + (rows * rowBytes), rows)]);
            at += 2 * rows * rowBytes;
            left -= 2 * rows;
        }

        var read = pairs.Sum(pair => pair.Sum(weight => (double)weight.Tensor.Bytes));
        var seconds = Timed.Seconds(
            () =>
            {
                foreach (var pair in pairs)
                    _backend.NormMatMul(input, tokens, null, pair, _outputs);
                _backend.Wait();
            },
            _cancellation,
            Budget);
        foreach (var weight in pairs.SelectMany(pair => pair))
            _backend.Unload(weight);
        return seconds * bytes / read;

        Weight Matrix(long at, long rows) => _backend.Load(new Tensor("probe", type, [columns, rows], _data + at, this));
    }

    // What the values are does not matter to the time; that they are ordinary ones does. Filled are as many bytes as are read: on a
    // slow format the others would take longer than the measurement.
    private void Fill(QuantType type, long bytes)
    {
        var maker = new RandomBlocks(type, 0.02f);
        var rowBytes = type.RowBytes(_sizes.Width);
        var pattern = new byte[Math.Max(1, maker.PartBytes / rowBytes) * rowBytes];
        maker.Fill(pattern, seed: 1);
        // A product of short rows may read a little more than it counts.
        var end = Math.Min(bytes + (2 * rowBytes), Bytes);
        for (var at = 0L; at < end; at += pattern.Length)
        {
            var count = (int)Math.Min(pattern.Length, end - at);
            pattern.AsSpan(0, count).CopyTo(new Span<byte>(_data + at, count));
        }
    }
}
