using Distributed.Core.Sampling;

namespace Distributed.Grains;

/// <summary><see cref="SamplingOptions"/> as Orleans stores and sends it; Core itself knows nothing of Orleans.</summary>
[GenerateSerializer, Alias("distributed.sampling-options")]
public struct SamplingOptionsSurrogate
{
    /// <summary><see cref="SamplingOptions.Temperature"/></summary>
    [Id(0)] public float Temperature { get; set; }

    /// <summary><see cref="SamplingOptions.TopK"/></summary>
    [Id(1)] public int TopK { get; set; }

    /// <summary><see cref="SamplingOptions.TopP"/></summary>
    [Id(2)] public float TopP { get; set; }

    /// <summary><see cref="SamplingOptions.MinP"/></summary>
    [Id(3)] public float MinP { get; set; }

    /// <summary><see cref="SamplingOptions.RepeatPenalty"/></summary>
    [Id(4)] public float RepeatPenalty { get; set; }

    /// <summary><see cref="SamplingOptions.RepeatLastN"/></summary>
    [Id(5)] public int RepeatLastN { get; set; }

    /// <summary><see cref="SamplingOptions.Seed"/></summary>
    [Id(6)] public ulong Seed { get; set; }
}

/// <summary>Turns <see cref="SamplingOptions"/> into its surrogate and back.</summary>
[RegisterConverter]
public sealed class SamplingOptionsConverter : IConverter<SamplingOptions, SamplingOptionsSurrogate>
{
    /// <inheritdoc/>
    public SamplingOptions ConvertFromSurrogate(in SamplingOptionsSurrogate surrogate) => new()
    {
        Temperature = surrogate.Temperature,
        TopK = surrogate.TopK,
        TopP = surrogate.TopP,
        MinP = surrogate.MinP,
        RepeatPenalty = surrogate.RepeatPenalty,
        RepeatLastN = surrogate.RepeatLastN,
        Seed = surrogate.Seed,
    };

    /// <inheritdoc/>
    public SamplingOptionsSurrogate ConvertToSurrogate(in SamplingOptions value) => new()
    {
        Temperature = value.Temperature,
        TopK = value.TopK,
        TopP = value.TopP,
        MinP = value.MinP,
        RepeatPenalty = value.RepeatPenalty,
        RepeatLastN = value.RepeatLastN,
        Seed = value.Seed,
    };
}
