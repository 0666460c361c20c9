namespace Distributed.Worker.Profiling;

/// <summary>How much a device is measured with: enough, as a rule, that a figure is of the device and not of the calls to it.</summary>
internal sealed record ProbeSizes
{
    /// <summary>What profiles are measured with.</summary>
    public static readonly ProbeSizes Usual = new();

    /// <summary>Values per row of matrices, norms and activations, and rows of a matrix.</summary>
    public int Width { get; init; } = 2048;

    /// <summary>Bytes of weights at most; the device's memory may allow fewer.</summary>
    public long MostBytes { get; init; } = long.MaxValue;

    /// <summary>Tokens of the largest batch of products and of layers.</summary>
    public int MostTokens { get; init; } = 256;

    /// <summary>Layers of the deeper of two models, of which the other has one.</summary>
    public int MoreLayers { get; init; } = 17;

    /// <summary>Keys that a query sees where it sees many.</summary>
    public int ManyKeys { get; init; } = 2048;

    /// <summary>Tokens whose attention is timed together.</summary>
    public int Queries { get; init; } = 128;
}
