using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Synthetic;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Worker.Profiling;

/// <summary>
/// Times whole layers so narrow that they hardly multiply: what is left is the way from one operation to the next, which for small
/// models is most of the time. What norms and activations cost for each value is timed on wide ones.
/// </summary>
/// <param name="backend">Computes.</param>
/// <param name="products">The figures of <see cref="WeightType"/>.</param>
/// <param name="attention">The figures of <see cref="KvType.F16"/>.</param>
/// <param name="sizes">How deep and how wide, and for how many tokens.</param>
/// <param name="cancellation">Gives up.</param>
internal sealed class LayerProbe(
    Backend backend, TypeProfile products, AttentionProfile attention, ProbeSizes sizes, CancellationToken cancellation)
{
    /// <summary>The format of the weights.</summary>
    public const string WeightType = "Q8_0";

    private const string Narrow = "hidden=64,ffn=64,heads=2,kv=1,vocab=300";

    private readonly int[] _tokens = [.. new[] { 1, 8, 64, 256 }.Where(tokens => tokens <= sizes.MostTokens)];

    /// <summary>The figures.</summary>
    public LayerProfile Measure()
    {
        var (one, values) = Times(1);
        var (more, _) = Times(sizes.MoreLayers);
        var (bytes, querySize) = OneLayer();
        var profile = new LayerProfile();
        foreach (var (i, tokens) in _tokens.Index())
        {
            var layer = Math.Max(0, (more[i] - one[i]) / (sizes.MoreLayers - 1));
            var perValue = SecondsPerValue(tokens);
            profile.ByTokens.Add(new LayerTime
            {
                Tokens = tokens,
                SecondsPerLayer = Math.Max(0, layer - (perValue * values * tokens) - Multiplying(tokens, bytes, querySize)),
                SecondsPerValue = perValue,
                SecondsPerStep = Math.Max(0, one[i] - layer),
            });
        }

        return profile;
    }

    private (double[] Seconds, double Values) Times(int layers)
    {
        var plan = SyntheticPlan.Parse($"layers={layers},{Narrow}:{WeightType}", "probe");
        using var model = new ModelFile(new SyntheticModel(plan, seed: 1, cancellation));
        var config = model.Config;
        // Neither embedding nor head: what they cost is products and copies.
        var spec = new StageSpec(0, config.NumLayers, false, false, sizes.MostTokens, KvType.F16, StageSpec.BlocksFor(sizes.MostTokens));
        using var stage = Stage.Load(model, backend, spec, null, cancellation);
        var seconds = _tokens.Select(tokens =>
        {
            var hidden = new float[tokens * config.HiddenSize];
            Array.Fill(hidden, 0.5f);
            var (ids, result, slice) = (new int[tokens], new float[hidden.Length], new SequenceSlice[] { new(0, 0, tokens) });
            return Timed.Seconds(() => stage.Forward(slice, ids, [], hidden, result), cancellation);
        });
        return ([.. seconds], LayerWork.ValuesPerToken(config));
    }

    // What narrow layers multiply after all: little for one token, some for many.
    private double Multiplying(int tokens, double bytes, int querySize)
    {
        var product = tokens == 1 ? ProductTimes.Cached(products, bytes) : ProductTimes.OfTokens(products, tokens);
        return (bytes * product) + (tokens * (attention.PrefillPerToken
            + ((tokens + 1) / 2.0 * querySize * attention.PrefillPerValue)));
    }

    // Bytes of the matrices of a narrow layer, and the values of its queries.
    private (double Bytes, int QuerySize) OneLayer()
    {
        var plan = SyntheticPlan.Parse($"layers=1,{Narrow}:{WeightType}", "probe");
        using var model = new ModelFile(new SyntheticModel(plan, seed: 1, cancellation));
        var bytes = StageTensors.For(model, 0, 1, false, false).Where(entry => entry.Tensor.Rows > 1).Sum(entry => (double)entry.Tensor.Bytes);
        return (bytes, model.Config.QuerySize);
    }

    private double SecondsPerValue(int tokens)
    {
        var weights = Tensor.Made("norm", Core.Quantization.F32.Type, [sizes.Width], _ => { });
        var norm = new Norm(backend.Load(weights), Eps: 1e-5f);
        using var a = backend.Allocate(tokens, sizes.Width);
        using var b = backend.Allocate(tokens, sizes.Width);
        var values = new float[tokens * sizes.Width];
        Array.Fill(values, 0.5f);
        backend.Upload(values, a, tokens);
        backend.Upload(values, b, tokens);
        var seconds = Timed.Seconds(
            () =>
            {
                backend.Normalize(a, tokens, sizes.Width, norm, b);
                backend.Activate(Activation.Silu, b, a, tokens);
                backend.Wait();
            },
            cancellation);
        // A norm touches a value twice, an activation three times.
        return seconds / (5.0 * sizes.Width * tokens);
    }
}
