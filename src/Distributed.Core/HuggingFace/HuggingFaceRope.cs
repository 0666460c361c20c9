using System.Text.Json;
using static Distributed.Core.ModelLimits;

namespace Distributed.Core.HuggingFace;

/// <summary>
/// Reads the rotary embedding: <c>rope_theta</c> and <c>rope_scaling</c>, or <c>rope_parameters</c> in files of 2026, which may hold
/// one set for each kind of layer. Some scalings are divisors of the frequencies, which a GGUF has as tensors.
/// </summary>
/// <param name="values">The model's values.</param>
/// <param name="row">How the architecture's files differ.</param>
/// <param name="architecture">What the architecture sets.</param>
/// <param name="headDim">Values per head.</param>
/// <param name="context">The longest context, in tokens.</param>
internal sealed class HuggingFaceRope(
    ConfigValues values, HuggingFaceArchitecture row, Architecture architecture, int headDim, int context)
{
    private readonly RopePairs _pairs = row.TurnsHalves ? RopePairs.HalvesToNeighbours : architecture.RopePairs;
    private readonly Dictionary<string, float[]> _factors = [];

    /// <summary>Divisors of the frequencies by the name of their tensor, [Dimensions / 2] each.</summary>
    public IReadOnlyDictionary<string, float[]> Factors => _factors;

    /// <summary>The embedding of all layers, or of those without a window.</summary>
    public RopeConfig ReadGlobal()
    {
        var parameters = values.Object("rope_parameters");
        var scaling = parameters?.Object("full_attention") ?? parameters ?? values.Object("rope_scaling");
        var dimensions = Dimensions(scaling);
        var theta = (scaling?.Has("rope_theta") == true ? scaling : values).Float("rope_theta", 1, MaxTheta, 10_000);
        var rope = new RopeConfig(theta, dimensions, _pairs);
        if (scaling is null)
            return rope;
        var type = scaling.Text(scaling.FirstOf("rope_type", "type")) ?? "default";
        switch (type)
        {
            case "default" or "dynamic": // the latter changes nothing within the model's own context
                return rope;
            case "linear":
                return rope with { LinearFactor = scaling.Float("factor", 1, MaxFactor) };
            case "yarn":
                return Yarn(rope, scaling);
            case "llama3" when architecture.Tensors.Any(spec => spec.Name == TensorNames.RopeFactors):
                _factors[TensorNames.RopeFactors] = Llama3Factors(rope, scaling);
                return rope;
            case "longrope" or "su" when architecture.Tensors.Any(spec => spec.Name == TensorNames.LongRopeFactors):
                return LongRope(rope, scaling);
            default:
                scaling.Fail(
                    scaling.FirstOf("rope_type", "type"), $"must be a scaling that {architecture.Name} models have here: default, linear, yarn"
                    + (architecture.Name == "phi3" ? ", longrope" : ", llama3"));
                return rope;
        }
    }

    /// <summary>The embedding of layers with a window; null where that is the one of the others.</summary>
    public RopeConfig? ReadLocal(RopeConfig global)
    {
        if (architecture.LocalRopeTheta is not { } theta)
            return null;
        var local = values.Object("rope_parameters")?.Object("sliding_attention");
        var key = local is null ? "rope_local_base_freq" : "rope_theta";
        return new RopeConfig((local ?? values).Float(key, 1, MaxTheta, theta(global.Theta)), global.Dimensions, global.Pairs);
    }

    private int Dimensions(ConfigValues? scaling)
    {
        var source = scaling?.Has("partial_rotary_factor") == true ? scaling : values;
        var key = source.FirstOf("partial_rotary_factor", "rotary_pct");
        // Truncated as the models do it; a factor such as 0.7 is no exact single.
        var dimensions = (int)Math.Round(headDim * (double)source.Float(key, 0, 1, row.RotaryPart), 3);
        if (dimensions < 2 || dimensions % 2 != 0)
            source.Fail(key, $"must leave an even number of a head's {headDim} values to be turned, 2 or more; it leaves {dimensions}");
        else if (_pairs == RopePairs.HalvesToNeighbours && dimensions != headDim)
            source.Fail(key, $"must be 1 in {architecture.Name} models");
        return Math.Max(2, dimensions);
    }

    private static RopeConfig Yarn(RopeConfig rope, ConfigValues scaling)
    {
        var factor = scaling.Float("factor", 1, MaxFactor);
        // A factor on sines and cosines that is written down takes the place of YaRN's own.
        var magnitude = scaling.Factor("attention_factor") is { } whole && factor >= 1 ? whole / (1 + (0.1 * Math.Log(factor))) : 1;
        return rope with
        {
            LinearFactor = factor,
            Magnitude = (float)magnitude,
            OriginalContext = scaling.Has("original_max_position_embeddings")
                ? scaling.Int("original_max_position_embeddings", 1, MaxContext)
                : null,
            Yarn = new YarnConfig(scaling.Float("beta_fast", 0, MaxContext, 32), scaling.Float("beta_slow", 0, MaxContext, 1)),
        };
    }

    /// <summary>Llama 3.1 (Grattafiori et al. 2024): low frequencies are divided by a factor, high ones not, others by part of it.</summary>
    private static float[] Llama3Factors(RopeConfig rope, ConfigValues scaling)
    {
        var factor = scaling.Float("factor", 1, MaxFactor);
        var low = scaling.Float("low_freq_factor", float.Epsilon, MaxFactor);
        var high = scaling.Float("high_freq_factor", float.Epsilon, MaxFactor);
        var original = scaling.Int("original_max_position_embeddings", 1, MaxContext);
        var factors = new float[rope.Dimensions / 2];
        for (var i = 0; i < factors.Length; i++)
        {
            // Singles, as the converter of GGUF files computes it.
            var frequency = 1 / MathF.Pow(rope.Theta, 2 * i / (float)rope.Dimensions);
            var wave = 2 * MathF.PI / frequency;
            var smooth = ((original / wave) - low) / (high - low);
            factors[i] = wave < original / high ? 1 : wave > original / low ? factor : 1 / (((1 - smooth) / factor) + smooth);
        }
        return factors;
    }

    private RopeConfig LongRope(RopeConfig rope, ConfigValues scaling)
    {
        var source = values.Has("original_max_position_embeddings") ? values : scaling;
        var original = source.Int("original_max_position_embeddings", 2, MaxContext, context);
        _factors[TensorNames.LongRopeFactors] = Divisors("long_factor");
        _factors[TensorNames.ShortRopeFactors] = Divisors("short_factor");
        var scale = context / (double)original;
        var magnitude = scale > 1 ? Math.Sqrt(1 + (Math.Log(scale) / Math.Log(original))) : 1;
        return rope with { OriginalContext = original, Magnitude = (float)magnitude };

        float[] Divisors(string key)
        {
            var count = rope.Dimensions / 2;
            var rule = $"must be an array of {count} positive numbers";
            var factors = scaling.Array<float>(key, rule, element =>
                element.ValueKind == JsonValueKind.Number && element.TryGetDouble(out var number) && number > 0 && number < MaxFactor
                    ? (float)number
                    : null);
            if (factors is not null && factors.Length == count)
                return factors;
            scaling.Fail(key, rule);
            return new float[count];
        }
    }
}
