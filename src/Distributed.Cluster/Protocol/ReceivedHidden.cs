using System.Buffers;

namespace Distributed.Cluster.Protocol;

public sealed partial class Step
{
    private byte[]? _pooled;
    private int _pooledBytes;

    /// <summary>The hidden states as they came, in the pipeline's format, until <see cref="ReturnHidden"/>; empty where there are none.</summary>
    public ReadOnlyMemory<byte> ReceivedHidden => _pooled is null ? Hidden.Memory : _pooled.AsMemory(0, _pooledBytes);

    /// <summary>Lets go of the received hidden states, once, when nobody reads them any more.</summary>
    public void ReturnHidden()
    {
        if (Interlocked.Exchange(ref _pooled, null) is { } buffer)
            ArrayPool<byte>.Shared.Return(buffer);
    }

    internal void TakeHidden(in ReadOnlySequence<byte> hidden)
    {
        _pooledBytes = checked((int)hidden.Length);
        _pooled = ArrayPool<byte>.Shared.Rent(_pooledBytes);
        hidden.CopyTo(_pooled);
    }
}
