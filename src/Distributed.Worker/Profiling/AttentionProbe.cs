using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Worker.Profiling;

/// <summary>Times attention over few and over many keys, so that what a token and what a key costs can be told apart.</summary>
internal static class AttentionProbe
{
    private const int FewKeys = 64;

    private static readonly AttentionShape Shape = new(NumHeads: 16, NumKvHeads: 4, HeadDim: 64, Scale: 0.125f);

    /// <summary>The figures of a format of the KV cache.</summary>
    /// <param name="backend">Computes.</param>
    /// <param name="type">The format.</param>
    /// <param name="sizes">How many tokens see how many keys.</param>
    /// <param name="cancellation">Gives up.</param>
    public static AttentionProfile Measure(Backend backend, KvType type, ProbeSizes sizes, CancellationToken cancellation)
    {
        var blocks = StageSpec.BlocksFor(sizes.ManyKeys + sizes.Queries);
        using var kv = backend.AllocateKv(1, blocks, Shape, type);
        // As a stage has it: without, a device must take a long context in one piece.
        backend.Reserve(sizes.Queries, Shape.NumHeads * Shape.HeadDim);
        using var queries = backend.Allocate(sizes.Queries, Shape.NumHeads * Shape.HeadDim);
        using var output = backend.Allocate(sizes.Queries, Shape.NumHeads * Shape.HeadDim);
        var batch = new Batch(sizes.Queries);
        int[] table = [.. Enumerable.Range(0, blocks)];

        var (decodeToken, decodeValue) = Fit(1);
        var (prefillToken, prefillValue) = Fit(sizes.Queries);
        return new AttentionProfile
        {
            KvType = type.ToName(),
            DecodePerToken = decodeToken,
            DecodePerValue = decodeValue,
            PrefillPerToken = prefillToken,
            PrefillPerValue = prefillValue,
        };

        // A call's seconds are tokens × (a + keys × values × b): two calls tell a and b.
        (double PerToken, double PerValue) Fit(int tokens)
        {
            var (few, many) = (Seconds(FewKeys, tokens), Seconds(sizes.ManyKeys, tokens));
            var values = (double)Shape.NumHeads * Shape.HeadDim * tokens;
            var perValue = Math.Max(0, many - few) / ((sizes.ManyKeys - FewKeys) * values);
            var keys = FewKeys + ((tokens - 1) / 2.0);
            return (Math.Max(0, few - (keys * values * perValue)) / tokens, perValue);
        }

        // The first token sees so many keys, its own included; each one behind it sees one more.
        double Seconds(int keys, int tokens)
        {
            batch.Slices.Clear();
            batch.Slices.Add(new BatchSlice(0, keys - 1, tokens, 0, table));
            batch.Set(new int[tokens], []);
            return Timed.Seconds(
                () =>
                {
                    backend.Attention(kv, 0, batch, Shape, null, queries, output);
                    backend.Wait();
                },
                cancellation);
        }
    }
}
