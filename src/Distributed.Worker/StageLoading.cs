using Distributed.Cluster.Protocol;
using Distributed.Worker.Weights;

namespace Distributed.Worker;

/// <summary>How far a load is. Written by the load, read by whoever tells the coordinator.</summary>
public sealed class StageLoading : IProgress<long>
{
    private readonly Lock _lock = new();
    private readonly LoadProgress _latest = new();

    /// <summary>Bytes of weights in all; 0 until known.</summary>
    public long BytesTotal
    {
        set
        {
            lock (_lock)
            {
                _latest.BytesTotal = value;
            }
        }
    }

    /// <summary>Bytes of the stage's weights that came over the wire, headers of files not among them; known once it has its model.</summary>
    public long BytesReceived { get; set; }

    /// <summary>Takes note of bytes of weights that are ready.</summary>
    public void Report(long value)
    {
        lock (_lock)
        {
            _latest.BytesReady = value;
        }
    }

    /// <summary>Takes note of what comes over the wire.</summary>
    public void Report(ReceivedWeights received)
    {
        lock (_lock)
        {
            (_latest.WantsWeights, _latest.BytesReceived, _latest.BytesToReceive) = (received.Bytes < received.Total, received.Bytes, received.Total);
        }
    }

    /// <summary>The latest state, as the protocol has it.</summary>
    public LoadProgress ToMessage()
    {
        lock (_lock)
        {
            return _latest.Clone();
        }
    }
}
