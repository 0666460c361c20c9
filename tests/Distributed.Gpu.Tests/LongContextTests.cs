using Distributed.Core;
using Distributed.Gpu.Kernels;
using Distributed.Testing;

namespace Distributed.Gpu.Tests;

/// <summary>Contexts of several chunks: shared between groups when there is little else to do, taken one after the other otherwise.</summary>
public abstract class LongContextTests
{
    protected abstract GpuBackend CreateBackend();

    private const int Tokens = (2 * AttentionKernels.ChunkTokens) + 45;
    private static readonly int[] Table = [.. Enumerable.Range(0, StageSpec.BlocksFor(Tokens)).Select(i => (i * 7) % 11)];

    [Theory]
    [InlineData(KvType.F16, null, false)]
    [InlineData(KvType.Q8_0, null, true)]
    [InlineData(KvType.F32, 150, true)]
    [InlineData(KvType.F32, 20, false)]
    public void A_query_has_the_same_bits_whether_its_chunks_are_shared_or_not(KvType type, int? window, bool withSinks)
    {
        var shape = new AttentionShape(2, 1, 32, 0.3f, window);
        float[]? sinks = withSinks ? [0.5f, -1] : null;
        // Scratch for all chunks of few queries, but not of all of them.
        using var shares = CreateBackend();
        shares.Reserve(Tokens, 64);
        using var cannot = CreateBackend();
        cannot.Reserve(1, 64);
        var expected = Attend(cannot, shape, type, sinks, Tokens);
        Assert.Equal(expected, Attend(shares, shape, type, sinks, Tokens));
        Assert.Equal(expected[^64..], Attend(shares, shape, type, sinks, 1));

        // Against all keys at once, in double precision.
        var (queries, keys, values) = (Values(64, 1), Values(32, 2), Values(32, 3));
        for (var head = 0; head < 2; head++)
        {
            var first = window is { } seen ? Math.Max(0, Tokens - seen) : 0;
            var weights = Enumerable.Range(first, Tokens - first).Select(key => Math.Exp(
                Enumerable.Range(0, 32).Sum(i => 0.3 * queries[((Tokens - 1) * 64) + (head * 32) + i] * keys[(key * 32) + i]))).ToArray();
            var sum = weights.Sum() + (sinks is null ? 0 : Math.Exp(sinks[head]));
            for (var i = 0; i < 32; i++)
            {
                var value = weights.Select((weight, key) => weight * values[((first + key) * 32) + i]).Sum() / sum;
                Assert.InRange(expected[^(64 - (head * 32) - i)] - value, -0.02, 0.02);
            }
        }
    }

    private static float[] Attend(GpuBackend backend, AttentionShape shape, KvType type, float[]? sinks, int queryCount)
    {
        using var kv = backend.AllocateKv(1, 11, shape, type);
        var batch = new Batch(Tokens);
        batch.Slices.Add(new BatchSlice(1, 0, Tokens, 0, Table));
        batch.Set(new int[Tokens], []);
        using var keys = Upload(backend, Values(32, 2), 32);
        using var values = Upload(backend, Values(32, 3), 32);
        backend.StoreKv(kv, 0, batch, keys, values);

        batch.Slices.Clear();
        batch.Slices.Add(new BatchSlice(1, Tokens - queryCount, queryCount, 0, Table));
        batch.Set(new int[queryCount], []);
        using var queries = Upload(backend, Values(64, 1)[^(queryCount * 64)..], 64);
        using var output = backend.Allocate(queryCount, 64);
        backend.Attention(kv, 0, batch, shape, sinks is null ? null : backend.Load(TestTensors.Of(sinks, 2)), queries, output);
        var result = new float[queryCount * 64];
        backend.Download(output, queryCount, result);
        return result;
    }

    private static Activations Upload(GpuBackend backend, float[] values, int columns)
    {
        var activations = backend.Allocate(values.Length / columns, columns);
        backend.Upload(values, activations, values.Length / columns);
        return activations;
    }

    private static float[] Values(int columns, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, Tokens * columns).Select(_ => (random.NextSingle() * 4) - 2)];
    }
}
