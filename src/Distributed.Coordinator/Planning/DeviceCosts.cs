using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>
/// What the units of a model cost on a device, from the device's profile: products by their bytes and the tokens in the step,
/// attention by its keys, all else by the values it touches.
/// </summary>
/// <param name="model">The model's shape.</param>
/// <param name="units">The model's units.</param>
/// <param name="profile">The profile; it has every format of the units and of the KV cache.</param>
/// <param name="kvType">The format of the KV cache.</param>
internal sealed class DeviceCosts(ModelConfig model, ModelUnits units, DeviceProfile profile, KvType kvType)
{
    private readonly Dictionary<string, TypeProfile> _types = profile.Types_.ToDictionary(type => type.Type);
    private readonly AttentionProfile _attention = profile.Attention.First(known => known.KvType == kvType.ToName());
    private readonly double _values = LayerWork.ValuesPerToken(model);

    /// <summary>Threads that compute.</summary>
    public int Threads => profile.Threads;

    /// <summary>Whether a profile has what the costs of a model are made from.</summary>
    public static bool Knows(DeviceProfile? profile, ModelUnits units, KvType kvType) =>
        profile?.Layer is not null
        && units.Types.All(type => profile.Types_.Any(known => known.Type == type))
        && profile.Attention.Any(known => known.KvType == kvType.ToName());

    /// <summary>Seconds of a stage's step besides its units.</summary>
    public double StageSeconds(StepShape step) => At(step.Tokens, time => time.SecondsPerStep);

    /// <summary>Seconds of one unit.</summary>
    public double UnitSeconds(int unit, StepShape step)
    {
        if (unit == 0)
            return step.Tokens * model.HiddenSize * At(step.Tokens, time => time.SecondsPerValue);
        var isHead = unit == units.Units.Count - 1;
        var tokens = isHead ? step.Outputs : step.Tokens;
        if (tokens == 0)
            return 0;
        var products = units.Units[unit].Sum(weights => ProductSeconds(weights, tokens));
        if (isHead)
            return products + (tokens * model.VocabSize * profile.SecondsPerLogit);
        return products + AttentionSeconds(step) + At(tokens, time => time.SecondsPerLayer)
            + (tokens * _values * At(tokens, time => time.SecondsPerValue));
    }

    private double ProductSeconds(UnitWeights weights, int tokens)
    {
        if (!weights.IsExperts || model.Experts is not { } experts)
            return weights.Bytes * PerByte(weights, tokens);
        // Tokens that choose at random leave out an expert each with this chance; those that are read share the tokens.
        var used = (double)experts.PerToken / experts.Count;
        var read = 1 - Math.Pow(1 - used, tokens);
        return weights.Bytes * read * PerByte(weights, tokens * used / read);
    }

    // A model that a cache holds is read from there with every token.
    private double PerByte(UnitWeights weights, double tokens)
    {
        var profile = _types[weights.Type];
        var fromMemory = ProductTimes.OfTokens(profile, 1);
        return Math.Max(
            ProductTimes.OfTokens(profile, tokens) - fromMemory
                + (ProductTimes.Cached(profile, units.Bytes) * ProductTimes.OfColumns(profile, weights.Columns)),
            fromMemory * 0.01);
    }

    private double AttentionSeconds(StepShape step)
    {
        // Where layers see a window of keys, all are taken to see everything: long contexts come out slower than they are.
        var values = step.Keys * model.QuerySize;
        return step.Tokens * (step.IsPrefill
            ? _attention.PrefillPerToken + (values * _attention.PrefillPerValue)
            : _attention.DecodePerToken + (values * _attention.DecodePerValue));
    }

    // Between two numbers of tokens in proportion, beyond the last as there.
    private double At(int tokens, Func<LayerTime, double> figure)
    {
        var times = profile.Layer.ByTokens;
        for (var i = 0; i < times.Count; i++)
        {
            if (tokens > times[i].Tokens)
                continue;
            if (i == 0 || tokens == times[i].Tokens)
                return figure(times[i]);
            var part = (double)(tokens - times[i - 1].Tokens) / (times[i].Tokens - times[i - 1].Tokens);
            return figure(times[i - 1]) + ((figure(times[i]) - figure(times[i - 1])) * part);
        }

        return figure(times[^1]);
    }
}
