using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>Finds the smallest changes to a cluster that make a placement fit where the config as it stands does not.</summary>
internal static class NearestFit
{
    private const int SmallestBatch = 32;

    /// <summary>
    /// Each change of a single setting that is enough by itself, as a phrase: <c>a context of 2048</c>. Where none is enough,
    /// several together; empty where that is not enough either.
    /// </summary>
    /// <param name="config">What does not fit.</param>
    /// <param name="model">The model.</param>
    /// <param name="fits">Whether a config fits; less context, fewer sequences, smaller chunks and formats never make it worse.</param>
    public static IReadOnlyList<string> Find(ClusterConfig config, ModelConfig model, Func<ClusterConfig, bool> fits)
    {
        List<string> changes = [];
        var context = LargestContext(config, model, fits);
        if (context > 0)
            changes.Add($"a context of {context}");

        var sequences = Largest(config.Sequences - 1, n => fits(config with { Sequences = n }));
        if (sequences > 0)
            changes.Add(sequences == 1 ? "1 sequence" : $"{sequences} sequences");

        var types = new[] { ("f16", KvType.F16), ("q8_0", KvType.Q8_0) }.Where(type => IsSmaller(type.Item2, config.KvType, model));
        if (types.FirstOrDefault(type => fits(config with { KvType = type.Item2 })).Item1 is { } name)
            changes.Add($"kv-type {name}");

        var chunks = Enumerable.Range(1, 16).Select(halvings => config.MaxBatchTokens >> halvings)
            .TakeWhile(tokens => tokens >= SmallestBatch);
        if (chunks.FirstOrDefault(tokens => fits(config with { MaxBatchTokens = tokens })) is > 0 and var chunk)
            changes.Add($"max-batch-tokens {chunk}");

        var least = config with { Sequences = 1, MaxBatchTokens = Math.Min(config.MaxBatchTokens, SmallestBatch) };
        if (changes.Count == 0 && LargestContext(least, model, fits) is > 0 and var together)
            changes.Add($"1 sequence with a context of {together} and max-batch-tokens {least.MaxBatchTokens}");
        return changes;
    }

    private static int LargestContext(ClusterConfig config, ModelConfig model, Func<ClusterConfig, bool> fits)
    {
        var context = config.ContextFor(model);
        var step = context > 512 ? 256 : StageSpec.KvBlockTokens;
        return step * Largest((context - 1) / step, n => fits(config with { Context = n * step }));
    }

    // Eight-bit keys and values come in blocks of 32.
    private static bool IsSmaller(KvType type, KvType than, ModelConfig model) =>
        type.Bytes(32) < than.Bytes(32) && (type != KvType.Q8_0 || model.HeadDim % 32 == 0);

    /// <summary>The least memory that is enough, in bytes, rounded up to a tenth of the unit in which it is written.</summary>
    /// <param name="most">An amount that is enough.</param>
    /// <param name="isEnough">Whether an amount is; more is never worse.</param>
    public static long LeastBytes(long most, Func<long, bool> isEnough)
    {
        var unit = 1L;
        while (most >= unit * 1024)
            unit *= 1024;
        var tooLittle = Largest((int)(most * 10 / unit), tenths => !isEnough(Tenths(tenths)));
        return Tenths(tooLittle + 1);

        long Tenths(int tenths) => (long)Math.Ceiling(tenths * (unit / 10m));
    }

    /// <summary>
    /// The largest n from 1 to <paramref name="most"/> for which <paramref name="fits"/> holds, as it does up to some n and not
    /// beyond; 0 for none.
    /// </summary>
    public static int Largest(int most, Func<int, bool> fits)
    {
        var (low, high) = (0, Math.Max(0, most));
        while (low < high)
        {
            var middle = low + ((high - low + 1) / 2);
            if (fits(middle))
                low = middle;
            else
                high = middle - 1;
        }

        return low;
    }
}
