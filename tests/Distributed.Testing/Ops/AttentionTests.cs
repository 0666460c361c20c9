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
        { KvType.F16, 8, 2, 64, 2e-3 },
        { KvType.F16, 40, 1, 24, 2e-3 },
        { KvType.Q8_0, 4, 4, 64, 4e-2 },
    };

    [Theory, MemberData(nameof(Cases))]
    public void Queries_see_their_own_sequence_up_to_their_position(
        KvType type, int heads, int kvHeads, int headDim, double tolerance) =>
        Check(type, new AttentionShape(heads, kvHeads, headDim, 1 / MathF.Sqrt(headDim)), withSinks: false, tolerance);

    [Theory]
    [InlineData(1, null, false)]
    [InlineData(8, null, false)]
    [InlineData(33, 1.5f, false)]
    [InlineData(null, 0.7f, true)]
    [InlineData(40, 2f, true)]
    public void Windows_soft_caps_and_sinks_change_what_is_seen(int? window, float? softCap, bool withSinks) =>
        Check(KvType.F32, new AttentionShape(4, 2, 32, 0.3f, window, softCap), withSinks, 2e-6);

    private void Check(KvType type, AttentionShape shape, bool withSinks, double tolerance) => OnEach(backend =>
    {
        var (heads, kvHeads, headDim) = (shape.NumHeads, shape.NumKvHeads, shape.HeadDim);
        var sinks = withSinks ? Normal(heads, 9) : null;
        using var kv = backend.AllocateKv(Layers, Blocks, shape, type);
        var first = new TestSequence(shape, sinks, 77, seed: 1);
        var second = new TestSequence(shape, sinks, 50, seed: 2);
        // Blocks of the two sequences lie in disorder; steps cut blocks in the middle.
        int[] firstTable = [6, 0, 3];
        int[] secondTable = [1, 7];
        Step((first, firstTable, 0, 40));
        Step((second, secondTable, 0, 33), (first, firstTable, 40, 1));
        Step((first, firstTable, 41, 36), (second, secondTable, 33, 17));

        void Step(params (TestSequence Sequence, int[] Table, int Start, int Count)[] slices)
        {
            var batch = new Batch(96);
            var offset = 0;
            foreach (var (sequence, table, start, count) in slices)
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
            var actual = Download(backend, output, offset);
            var at = 0;
            foreach (var (sequence, _, start, count) in slices)
            {
                var expected = sequence.Attend(start, count);
                AssertNear(expected, tolerance, actual[at..(at + expected.Length)], $"{backend.Device} {type} at {start}");
                at += expected.Length;
            }
        }
    });

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
