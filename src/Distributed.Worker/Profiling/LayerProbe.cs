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
/// <param name="cancellation">Gives up.</param>
internal sealed class LayerProbe(Backend backend, TypeProfile products, AttentionProfile attention, CancellationToken cancellation)
{
    /// <summary>The format of the weights.</summary>
    public const string WeightType = "Q8_0";

    private const int MostTokens = 256;
    private const int MoreLayers = 17;
    private const int Width = 2048;
    private const string Narrow = "hidden=64,ffn=64,heads=2,kv=1,vocab=300";

    private static readonly int[] Tokens = [1, 8, 64, MostTokens];

    /// <summary>The figures.</summary>
    public LayerProfile Measure()
    {
        var (one, values) = Times(1);
        var (more, _) = Times(MoreLayers);
        var (bytes, querySize) = OneLayer();
        var profile = new LayerProfile();
        foreach (var (i, tokens) in Tokens.Index())
        {
            var layer = Math.Max(0, (more[i] - one[i]) / (MoreLayers - 1));
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
        var spec = new StageSpec(0, config.NumLayers, false, false, MostTokens, KvType.F16, StageSpec.BlocksFor(MostTokens));
        using var stage = Stage.Load(model, backend, spec, null, cancellation);
        var seconds = Tokens.Select(tokens =>
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
        var weights = Tensor.Made("norm", Core.Quantization.F32.Type, [Width], _ => { });
        var norm = new Norm(backend.Load(weights), Eps: 1e-5f);
        using var a = backend.Allocate(tokens, Width);
        using var b = backend.Allocate(tokens, Width);
        var values = new float[tokens * Width];
        Array.Fill(values, 0.5f);
        backend.Upload(values, a, tokens);
        backend.Upload(values, b, tokens);
        var seconds = Timed.Seconds(
            () =>
            {
                backend.Normalize(a, tokens, Width, norm, b);
                backend.Activate(Activation.Silu, b, a, tokens);
                backend.Wait();
            },
            cancellation);
        // A norm touches a value twice, an activation three times.
        return seconds / (5.0 * Width * tokens);
    }
}
