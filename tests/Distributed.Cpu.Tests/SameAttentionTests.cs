using Distributed.Testing;

namespace Distributed.Cpu.Tests;

/// <summary>Attention has the same bits on every path, whatever the tokens beside them and the threads.</summary>
public class SameAttentionTests
{
    private const int Tokens = 75;

    public static TheoryData<KvType, AttentionShape, bool> Cases => new()
    {
        { KvType.F16, new AttentionShape(8, 1, 64, 0.125f), false },
        { KvType.F32, new AttentionShape(3, 3, 40, 0.2f), true },
        { KvType.F16, new AttentionShape(3, 1, 24, 0.2f, Window: 9), false },
        { KvType.Q8_0, new AttentionShape(12, 1, 32, 0.2f, Window: 40, SoftCap: 3), true },
        { KvType.F16, new AttentionShape(10, 2, 50, 0.2f), false },
    };

    [Theory, MemberData(nameof(Cases))]
    public void Every_path_gives_the_bits_of_the_scalar_twin(KvType type, AttentionShape shape, bool withSinks)
    {
        var expected = Attend(type, shape, withSinks, InstructionSets.None, 1, Tokens);
        foreach (var path in InstructionSetPaths.Supported)
            Assert.Equal(expected, Attend(type, shape, withSinks, path, 1, Tokens));
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_token_alone_gives_the_bits_it_gives_among_others(KvType type, AttentionShape shape, bool withSinks)
    {
        foreach (var path in InstructionSetPaths.Supported.Where(path => path != InstructionSets.None))
        {
            var expected = Attend(type, shape, withSinks, path, 1, Tokens);
            foreach (var step in new[] { 1, 3, 32, 33 })
                Assert.Equal(expected, Attend(type, shape, withSinks, path, 1, step));
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void Three_threads_give_the_bits_of_one(KvType type, AttentionShape shape, bool withSinks) => Assert.Equal(
        Attend(type, shape, withSinks, InstructionSets.All, 1, Tokens),
        Attend(type, shape, withSinks, InstructionSets.All, 3, Tokens));

    /// <summary>The bits of what all tokens see, with some tokens at a time.</summary>
    private static int[] Attend(KvType type, AttentionShape shape, bool withSinks, InstructionSets path, int threads, int step)
    {
        using var backend = new CpuBackend(threads, path);
        var (querySize, kvSize) = (shape.NumHeads * shape.HeadDim, shape.NumKvHeads * shape.HeadDim);
        using var kv = backend.AllocateKv(1, 3, shape, type);
        using var queries = backend.Allocate(Tokens, querySize);
        using var keys = backend.Allocate(Tokens, kvSize);
        using var values = backend.Allocate(Tokens, kvSize);
        using var output = backend.Allocate(Tokens, querySize);
        var sinks = withSinks ? backend.Load(TestTensors.Of(Values(shape.NumHeads, 4), shape.NumHeads)) : null;
        var all = new List<float>();
        for (var token = 0; token < Tokens; token += step)
        {
            var count = Math.Min(step, Tokens - token);
            backend.Upload(Values(Tokens * querySize, 1).AsSpan(token * querySize, count * querySize), queries, count);
            backend.Upload(Values(Tokens * kvSize, 2).AsSpan(token * kvSize, count * kvSize), keys, count);
            backend.Upload(Values(Tokens * kvSize, 3).AsSpan(token * kvSize, count * kvSize), values, count);
            var batch = new Batch(Tokens);
            batch.Slices.Add(new BatchSlice(0, token, count, 0, [2, 0, 1]));
            batch.Set(new int[count], []);
            backend.StoreKv(kv, 0, batch, keys, values);
            backend.Attention(kv, 0, batch, shape, sinks, queries, output);
            var part = new float[count * querySize];
            backend.Download(output, count, part);
            all.AddRange(part);
        }
        return [.. all.Select(BitConverter.SingleToInt32Bits)];
    }

    private static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => ((float)random.NextDouble() - 0.4f) * 4)];
    }
}
