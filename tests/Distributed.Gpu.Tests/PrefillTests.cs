using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Testing;

namespace Distributed.Gpu.Tests;

/// <summary>What is computed in tiles has the bits of what is computed token by token.</summary>
public abstract class PrefillTests
{
    protected abstract GpuBackend CreateBackend();

    [Theory]
    [InlineData("Q4_0", false)]
    [InlineData("Q8_0", true)]
    [InlineData("Q4_K", false)]
    [InlineData("Q5_K", true)]
    [InlineData("Q6_K", false)]
    public void Choices_grouped_by_expert_have_the_bits_of_one_token_alone(string name, bool perChoice)
    {
        const int Tokens = 21;
        const int Experts = 5;
        const int PerToken = 2;
        const int Columns = 256;
        const int Rows = 3;
        var type = QuantTypes.ByName(name);
        var scores = Values(Tokens * Experts, 1);
        var input = Values(Tokens * (perChoice ? PerToken : 1) * Columns, 2);
        var matrix = TestTensors.Random(type, Rows * Experts, Columns, seed: 7);
        var weights = TestTensors.Of(
            "experts", type, Enumerable.Range(0, Rows * Experts).SelectMany(row => matrix.Row(row).ToArray()).ToArray(), Columns, Rows, Experts);
        using var backend = CreateBackend();
        backend.Reserve(Tokens * PerToken, Columns);
        var weight = backend.Load(weights);
        var choices = backend.AllocateChoices(Tokens, Experts, PerToken);

        var together = Multiply(scores, input, Tokens);
        var perToken = input.Length / Tokens;
        var alone = Enumerable.Range(0, Tokens).SelectMany(token => Multiply(
            scores[(token * Experts)..((token + 1) * Experts)], input[(token * perToken)..((token + 1) * perToken)], 1)).ToArray();
        Assert.Equal(alone, together);
        Assert.All(together, value => Assert.True(float.IsFinite(value) && value != 0));

        float[] Multiply(float[] scores, float[] input, int tokens)
        {
            using var router = Upload(backend, scores, Experts);
            using var x = Upload(backend, input, Columns);
            using var output = backend.Allocate(tokens * PerToken, Rows);
            backend.ChooseExperts(router, tokens, overChosen: true, choices);
            backend.ExpertMatMul(x, perChoice, choices, [weight], [output]);
            var result = new float[tokens * PerToken * Rows];
            backend.Download(output, tokens * PerToken, result);
            return result;
        }
    }

    [Theory]
    [InlineData(KvType.F16, null, false, null)]
    [InlineData(KvType.Q8_0, 40, true, null)]
    [InlineData(KvType.F32, 150, false, 5f)]
    public void Queries_in_tiles_have_the_bits_of_queries_alone(KvType type, int? window, bool withSinks, float? softCap)
    {
        // Two sequences, one in the middle of its second block, one across a chunk; the last tiles of both are cut.
        const int HeadDim = 32;
        var shape = new AttentionShape(4, 2, HeadDim, 0.3f, window, softCap);
        (int Start, int Count, int[] Table)[] sequences = [(45, 21, [3, 0, 5]), (110, 35, [1, 2, 4, 6, 7])];
        using var backend = CreateBackend();
        backend.Reserve(128, 4 * HeadDim);
        using var kv = backend.AllocateKv(1, 8, shape, type);
        foreach (var (start, count, table) in sequences)
        {
            var batch = BatchOf([new BatchSlice(1, 0, start + count, 0, table)]);
            using var keys = Upload(backend, Values((start + count) * 2 * HeadDim, start), 2 * HeadDim);
            using var values = Upload(backend, Values((start + count) * 2 * HeadDim, start + 1), 2 * HeadDim);
            backend.StoreKv(kv, 0, batch, keys, values);
        }
        var sinks = withSinks ? backend.Load(TestTensors.Of([0.5f, -1, 2, 0], 4)) : null;
        var queries = Values(sequences.Sum(sequence => sequence.Count) * 4 * HeadDim, 9);

        var together = Attend([.. sequences.Select((sequence, i) => new BatchSlice(i, sequence.Start, sequence.Count, 0, sequence.Table))], queries);
        var alone = new List<float>();
        foreach (var (start, count, table) in sequences)
            for (var token = 0; token < count; token++)
                alone.AddRange(Attend([new BatchSlice(1, start + token, 1, 0, table)], queries[alone.Count..(alone.Count + (4 * HeadDim))]));
        Assert.Equal(alone, together);

        float[] Attend(BatchSlice[] slices, float[] queries)
        {
            var batch = BatchOf(slices);
            using var input = Upload(backend, queries, 4 * HeadDim);
            using var output = backend.Allocate(batch.Count, 4 * HeadDim);
            backend.Attention(kv, 0, batch, shape, sinks, input, output);
            var result = new float[queries.Length];
            backend.Download(output, batch.Count, result);
            return result;
        }
    }

    private static Batch BatchOf(BatchSlice[] slices)
    {
        var count = slices.Sum(slice => slice.Count);
        var batch = new Batch(count);
        batch.Slices.AddRange(slices);
        batch.Set(new int[count], []);
        return batch;
    }

    private static Activations Upload(GpuBackend backend, float[] values, int columns)
    {
        var activations = backend.Allocate(values.Length / columns, columns);
        backend.Upload(values, activations, values.Length / columns);
        return activations;
    }

    private static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 4) - 2)];
    }
}
