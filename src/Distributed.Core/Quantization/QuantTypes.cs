namespace Distributed.Core.Quantization;

/// <summary>The table of formats this build reads.</summary>
public static class QuantTypes
{
    /// <summary>Every format, in the order of their GGUF numbers.</summary>
    public static IReadOnlyList<QuantType> All { get; } = [F32.Type];
}
