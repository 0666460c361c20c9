namespace Distributed.Cluster;

/// <summary>The version of what passes between nodes. It rises with every change that an older node would misread.</summary>
public static class ProtocolVersion
{
    /// <summary>What this build speaks; both sides of a handshake must have the same.</summary>
    public const uint Current = 2;
}
