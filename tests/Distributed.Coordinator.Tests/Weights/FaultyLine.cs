using System.Net;
using System.Net.Sockets;
using Distributed.Cluster;

namespace Distributed.Coordinator.Tests.Weights;

/// <summary>A TCP line to a worker that spoils what is sent over it.</summary>
internal sealed class FaultyLine : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _ending = new();
    private readonly NodeAddress _target;
    private readonly Task _accepting;
    private long _forwarded;

    public FaultyLine(NodeAddress target)
    {
        _target = target;
        _listener.Start();
        Address = NodeAddress.Parse("line", $"{_listener.LocalEndpoint}");
        _accepting = AcceptAsync();
    }

    public NodeAddress Address { get; }

    /// <summary>Bytes whose first is turned over wherever they pass towards the worker; null for none.</summary>
    public byte[]? Flip { get; set; }

    /// <summary>How often <see cref="Flip"/> may still happen.</summary>
    public int Flips { get; set; } = int.MaxValue;

    /// <summary>Bytes towards the worker after which nothing passes any more, until it is set to null.</summary>
    public long? StallAfter { get; set; }

    /// <summary>Bytes towards the worker after which the connection is reset, once.</summary>
    public long? CutAfter { get; set; }

    /// <summary>Completes when <see cref="StallAfter"/> bytes have passed.</summary>
    public TaskCompletionSource Stalled { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        _listener.Stop();
        await _accepting.ContinueWith(_ => { }, TaskScheduler.Default);
        _ending.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            var client = await _listener.AcceptTcpClientAsync(_ending.Token);
            _ = ServeAsync(client);
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using var worker = new TcpClient();
        using (client)
        {
            try
            {
                await worker.ConnectAsync(IPAddress.Loopback, _target.Port, _ending.Token);
                await Task.WhenAny(
                    CopyAsync(client.GetStream(), worker.GetStream(), spoils: true), CopyAsync(worker.GetStream(), client.GetStream(), spoils: false));
            }
            catch (SocketException)
            {
                // The worker is down: so is the line.
            }
        }
    }

    private async Task CopyAsync(NetworkStream from, NetworkStream to, bool spoils)
    {
        var buffer = new byte[1 << 16];
        try
        {
            while (await from.ReadAsync(buffer, _ending.Token) is > 0 and var count)
            {
                if (spoils && !await SpoilAsync(buffer, count))
                    return;
                await to.WriteAsync(buffer.AsMemory(0, count), _ending.Token);
            }
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
        }
    }

    private async Task<bool> SpoilAsync(byte[] buffer, int count)
    {
        if (Flip is { } pattern && buffer.AsSpan(0, count).IndexOf(pattern) is >= 0 and var at && Flips > 0)
        {
            Flips--;
            buffer[at] ^= 0x40;
        }

        _forwarded += count;
        if (_forwarded > CutAfter)
        {
            CutAfter = null;
            return false;
        }

        if (_forwarded > StallAfter)
        {
            Stalled.TrySetResult();
            while (StallAfter is not null)
                await Task.Delay(20, _ending.Token);
        }

        return true;
    }
}
