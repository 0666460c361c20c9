using System.Diagnostics;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Grpc.Core;

namespace Distributed.Cluster;

/// <summary>
/// Whether another node is still there: asked again and again over a connection of its own, where no large frame stands in the way. A
/// process that was stopped, or a port that was cut off, closes no connection; only that it does not answer tells.
/// </summary>
public sealed class PeerPulse : IAsyncDisposable
{
    // Asked so often within the timeout that a death is noticed no later than that behind it.
    private const int AsksPerTimeout = 4;

    private readonly NodeAddress _address;
    private readonly LinkShape? _link;
    private readonly NodePeer? _peer;
    private readonly TimeSpan _timeout;
    private readonly Action<TimeSpan> _lost;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _asking;
    private long _seen = Stopwatch.GetTimestamp();

    /// <param name="address">Where the node listens.</param>
    /// <param name="link">What to make of the connection; null to leave it as it is.</param>
    /// <param name="timeout">How long it may be silent.</param>
    /// <param name="lost">Told once, with how long it has been silent; may not take time.</param>
    /// <param name="peer">Who must answer there; null for plain text.</param>
    public PeerPulse(NodeAddress address, LinkShape? link, TimeSpan timeout, Action<TimeSpan> lost, NodePeer? peer = null)
    {
        (_address, _link, _lost, _peer) = (address, link, lost, peer);
        // Who is told is to know of it within the timeout.
        _timeout = (timeout * 0.95) + (link?.Wait ?? TimeSpan.Zero);
        _asking = Task.Run(AskAsync);
    }

    /// <summary>For how long nothing has been heard of it.</summary>
    public TimeSpan Silence => Stopwatch.GetElapsedTime(Interlocked.Read(ref _seen));

    /// <summary>Takes down that something has come from it just now.</summary>
    public void Seen() => Interlocked.Exchange(ref _seen, Stopwatch.GetTimestamp());

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _asking;
        _stopping.Dispose();
    }

    private async Task AskAsync()
    {
        var rest = _timeout / AsksPerTimeout;
        using var channel = NodeChannel.Open(_address, _timeout, _link, _peer);
        var client = new StageService.StageServiceClient(channel);
        try
        {
            while (true)
            {
                var began = Stopwatch.GetTimestamp();
                var patience = _timeout - Silence;
                if (patience > TimeSpan.Zero && await AnswersAsync(client, patience))
                    Seen();
                // This process itself may have been stopped, or without a core, all that time: then nobody's silence means anything.
                else if (Stopwatch.GetElapsedTime(began) > patience + rest)
                    Seen();
                else if (Silence >= _timeout)
                    break;
                began = Stopwatch.GetTimestamp();
                await Task.Delay(rest, _stopping.Token);
                if (Stopwatch.GetElapsedTime(began) > rest * 2)
                    Seen();
            }

            _lost(Silence);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task<bool> AnswersAsync(StageService.StageServiceClient client, TimeSpan patience)
    {
        try
        {
            await client.ReadClockAsync(new ClockRequest(), deadline: DateTime.UtcNow + patience, cancellationToken: _stopping.Token);
            return true;
        }
        catch (RpcException)
        {
            _stopping.Token.ThrowIfCancellationRequested();
            return false;
        }
    }
}
