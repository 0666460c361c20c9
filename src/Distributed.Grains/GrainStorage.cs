namespace Distributed.Grains;

/// <summary>The names under which grains ask for storage; the silo decides what stands behind them.</summary>
public static class GrainStorage
{
    /// <summary>The storage of all grains here.</summary>
    public const string Name = "distributed";
}
