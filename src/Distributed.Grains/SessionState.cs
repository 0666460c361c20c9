namespace Distributed.Grains;

/// <summary>What a session is doing.</summary>
[GenerateSerializer, Alias("distributed.session-state")]
public enum SessionState
{
    /// <summary>A request is being answered.</summary>
    Running,

    /// <summary>No request runs; the KV cache is kept for the next one.</summary>
    Idle,

    /// <summary>The KV cache has been released.</summary>
    Ended,
}
