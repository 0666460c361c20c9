namespace Distributed.Cluster.Protocol;

// The parser makes a message just after its last byte has arrived and before it reads the first one:
// the moment that divides "wire" from "deserialize".
public sealed partial class Step
{
    /// <summary>When the message was made, on this node's clock, ns.</summary>
    public long ArrivedNs { get; private set; }

    partial void OnConstruction() => ArrivedNs = NodeClock.Now;
}

public sealed partial class StepResult
{
    /// <summary>When the message was made, on this node's clock, ns.</summary>
    public long ArrivedNs { get; private set; }

    partial void OnConstruction() => ArrivedNs = NodeClock.Now;
}
