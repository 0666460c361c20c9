using Distributed.Core;
using Xunit;

namespace Distributed.Testing.Ops;

/// <summary><see cref="Backend.StoreKv"/> and <see cref="Backend.Attention"/> against attention in double precision.</summary>
public abstract class AttentionTests : OpTests
{
    private const int Layers = 2;
    private const int Blocks = 8;

    /// <summary>Formats of the cache, with how exact they keep values of about one.</summary>
    public static TheoryData<KvType, int, int, int, double> Cases => new()
    {
        { KvType.F32, 4, 2, 32, 2e-6 },
        { KvType.F32, 6, 1, 20, 2e-6 },
        { KvType.F32, 3, 3, 128, 2e-6 },
        { KvType.F32, 12, 1, 72, 2e-6 },
        { KvType.F16, 8, 2, 64, 2e-3 },
        { KvType.F16, 40, 1, 24, 2e-3 },
        { KvType.F16, 8, 1, 80, 2e-3 },
        { KvType.F16, 6, 2, 50, 2e-3 },
        { KvType.F16, 1, 1, 512, 2e-3 },
        { KvType.Q8_0, 4, 4, 64, 4e-2 },
        { KvType.Q8_0, 8, 1, 96, 4e-2 },
    };

    /// <summary>Formats of the cache.</summary>
    public static TheoryData<KvType> Types => [.. Enum.GetValues<KvType>()];

    [Theory, MemberData(nameof(Cases))]
    public void Queries_see_their_own_sequence_up_to_their_position(
        KvType type, int heads, int kvHeads, int headDim, double tolerance) =>
        Check(type, new AttentionShape(heads, kvHeads, headDim, 1 / MathF.Sqrt(headDim)), withSinks: false, tolerance);

    [Theory]
    [InlineData(1, null, false)]
    [InlineData(8, null, false)]
    [InlineData(33, 1.5f, false)]
    [InlineData(32, null, true)]
    [InlineData(null, 0.7f, true)]
    [InlineData(40, 2f, true)]
    public void Windows_soft_caps_and_sinks_change_what_is_seen(int? window, float? softCap, bool withSinks) =>
        Check(KvType.F32, new AttentionShape(4, 2, 32, 0.3f, window, softCap), withSinks, 2e-6);

    [Theory, MemberData(nameof(Types))]
    public void A_sequence_cut_back_within_a_block_does_not_see_what_it_had(KvType type) => OnEach(backend =>
    {
        var shape = new AttentionShape(8, 2, 32, 0.2f);
        var sequence = new TestSequence(shape, null, 60, seed: 1);
        var other = new TestSequence(shape, null, 60, seed: 2);
        using var kv = backend.AllocateKv(Layers, Blocks, shape, type);
        var expected = Step(backend, kv, shape, null, (sequence, [1, 3], 0, 60));
        using var again = backend.AllocateKv(Layers, Blocks, shape, type);
        Step(backend, again, shape, null, (sequence, [1, 3], 0, 45));
        Step(backend, again, shape, null, (other, [1, 3], 40, 20));
        var rest = Step(backend, again, shape, null, (sequence, [1, 3], 40, 20));
        Assert.Equal(expected[(40 * shape.NumHeads * shape.HeadDim)..], rest);
    });

    [Theory, MemberData(nameof(Types))]
    public void What_another_sequence_left_in_a_block_is_not_seen(KvType type) => OnEach(backend =>
    {
        var shape = new AttentionShape(4, 2, 32, 0.2f);
        var sequence = new TestSequence(shape, null, 37, seed: 1);
        var broken = new TestSequence(shape, null, 64, seed: 2);
        Array.Fill(broken.Keys, float.NaN);
        Array.Fill(broken.Values, float.PositiveInfinity);
        using var kv = backend.AllocateKv(Layers, Blocks, shape, type);
        var expected = Step(backend, kv, shape, null, (sequence, [5, 2], 0, 37));
        Step(backend, kv, shape, null, (broken, [2, 5], 0, 64));
        Assert.Equal(expected, Step(backend, kv, shape, null, (sequence, [5, 2], 0, 37)));
    });

    private void Check(KvType type, AttentionShape shape, bool withSinks, double tolerance) => OnEach(backend =>
    {
        var sinks = withSinks ? Normal(shape.NumHeads, 9) : null;
        using var kv = backend.AllocateKv(Layers, Blocks, shape, type);
        var first = new TestSequence(shape, sinks, 77, seed: 1);
        var second = new TestSequence(shape, sinks, 50, seed: 2);
        // Blocks of the two sequences lie in disorder; steps cut blocks in the middle.
        int[] firstTable = [6, 0, 3];
        int[] secondTable = [1, 7];
        CheckStep((first, firstTable, 0, 40));
        CheckStep((second, secondTable, 0, 33), (first, firstTable, 40, 1));
        CheckStep((first, firstTable, 41, 36), (second, secondTable, 33, 17));

        void CheckStep(params (TestSequence Sequence, int[] Table, int Start, int Count)[] slices)
        {
            var actual = Step(backend, kv, shape, sinks, slices);
            var at = 0;
            foreach (var (sequence, _, start, count) in slices)
            {
                var expected = sequence.Attend(start, count);
                AssertNear(expected, tolerance, actual[at..(at + expected.Length)], $"{backend.Device} {type} at {start}");
                at += expected.Length;
            }
        }
    });

    /// <summary>Stores the keys and values of some slices and returns what their queries see.</summary>
    private static float[] Step(
        Backend backend, KvStore kv, AttentionShape shape, float[]? sinks,
        params (TestSequence Sequence, int[] Table, int Start, int Count)[] slices)
    {
        var (heads, kvHeads, headDim) = (shape.NumHeads, shape.NumKvHeads, shape.HeadDim);
        var batch = new Batch(96);
        var offset = 0;
        foreach (var (_, table, start, count) in slices)
        {
            batch.Slices.Add(new BatchSlice(offset, start, count, offset, table));
            offset += count;
        }
        batch.Set(new int[offset], []);
        float[] Join(Func<TestSequence, float[]> part, int columns) =>
            [.. slices.SelectMany(s => part(s.Sequence).Skip(s.Start * columns).Take(s.Count * columns))];
        using var queries = Upload(backend, Join(s => s.Queries, heads * headDim), heads * headDim);
        using var keys = Upload(backend, Join(s => s.Keys, kvHeads * headDim), kvHeads * headDim);
        using var values = Upload(backend, Join(s => s.Values, kvHeads * headDim), kvHeads * headDim);
        using var output = backend.Allocate(96, heads * headDim);
        backend.StoreKv(kv, Layers - 1, batch, keys, values);
        var sinkScores = sinks is null ? null : backend.Load(TestTensors.Of(sinks, heads));
        backend.Attention(kv, Layers - 1, batch, shape, sinkScores, queries, output);
        return Download(backend, output, offset);
    }

    private sealed class TestSequence(AttentionShape shape, float[]? sinks, int tokens, int seed)
    {
        public float[] Queries { get; } = Normal(tokens * shape.NumHeads * shape.HeadDim, seed);

        public float[] Keys { get; } = Normal(tokens * shape.NumKvHeads * shape.HeadDim, seed + 10);

        public float[] Values { get; } = Normal(tokens * shape.NumKvHeads * shape.HeadDim, seed + 20);

        public double[] Attend(int start, int count) =>
            [.. Enumerable.Range(start, count).SelectMany(token => Enumerable.Range(0, shape.NumHeads).SelectMany(head => Attend1(token, head)))];

        private double[] Attend1(int token, int head)
        {
            var dim = shape.HeadDim;
            var query = Queries.AsSpan(((token * shape.NumHeads) + head) * dim, dim);
            var weights = new double[token + 1];
            for (var position = 0; position <= token; position++)
            {
                var score = 0.0;
                for (var i = 0; i < dim; i++)
                    score += (double)query[i] * Keys[Row(position, head) + i] * shape.Scale;
                if (shape.SoftCap is { } cap)
                    score = cap * Math.Tanh(score / cap);
                if (token - position < (shape.Window ?? int.MaxValue))
                    weights[position] = Math.Exp(score);
            }
            var sum = weights.Sum() + (sinks is null ? 0 : Math.Exp(sinks[head]));
            var output = new double[dim];
            for (var position = 0; position <= token; position++)
                for (var i = 0; i < dim; i++)
                    output[i] += weights[position] / sum * Values[Row(position, head) + i];
            return output;
        }

        private int Row(int position, int head) =>
            ((position * shape.NumKvHeads) + (head / (shape.NumHeads / shape.NumKvHeads))) * shape.HeadDim;
    }
}
