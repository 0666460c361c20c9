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

    /// <summary>The step as it would arrive: the same in all, its hidden states in a buffer of their own until <see cref="ReturnHidden"/>.</summary>
    public Step Copy()
    {
        var copy = new Step { Epoch = Epoch, Step_ = Step_, SentNs = SentNs, WantMoments = WantMoments, WantLayerMoments = WantLayerMoments };
        copy.Slices.Add(Slices);
        copy.Tokens.Add(Tokens);
        copy.Timings.Add(Timings);
        copy.TakeHidden(new ReadOnlySequence<byte>(Hidden.Memory));
        return copy;
    }

    internal void TakeHidden(in ReadOnlySequence<byte> hidden)
    {
        _pooledBytes = checked((int)hidden.Length);
        _pooled = ArrayPool<byte>.Shared.Rent(_pooledBytes);
        hidden.CopyTo(_pooled);
    }
}
