using System.Net;
using System.Net.Sockets;
using Distributed.Cluster;

namespace Distributed.Coordinator.Tests.Recovery;

/// <summary>A port in front of a worker that can be cut off: from then on no byte goes through, and no connection is closed.</summary>
/// <remarks>
/// The coordinator and the stage before it have a connection each. Paths of calls are in them as plain text, which tells the two apart.
/// </remarks>
internal sealed class CutPort : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly NodeAddress _worker;
    private volatile bool _cut;
    private volatile bool _hopCut;

    public CutPort(NodeAddress worker)
    {
        _worker = worker;
        _listener.Start();
        _ = AcceptAsync();
    }

    public NodeAddress Address => NodeAddress.Parse("port", $"{_listener.LocalEndpoint}");

    public void Cut() => _cut = true;

    /// <summary>Cuts off the stage before it alone, and whoever else sends steps to it.</summary>
    public void CutHop() => _hopCut = true;

    /// <summary>Lets bytes through again, those that came meanwhile first.</summary>
    public void Mend() => _cut = false;

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Stop();
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var outside = await _listener.AcceptSocketAsync(_stop.Token);
                var inside = _worker.SocketPath is { } path
                    ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
                    : new Socket(SocketType.Stream, ProtocolType.Tcp);
                await inside.ConnectAsync(
                    _worker.SocketPath is { } socket ? new UnixDomainSocketEndPoint(socket) : new DnsEndPoint(_worker.Host!, _worker.Port));
                var line = new Line();
                _ = PassAsync(outside, inside, line);
                _ = PassAsync(inside, outside, line);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Stopped, or the worker has.
        }
    }

    private async Task PassAsync(Socket from, Socket to, Line line)
    {
        var buffer = new byte[1 << 16];
        try
        {
            while (await from.ReceiveAsync(buffer, _stop.Token) is var count and > 0)
            {
                line.IsHop |= buffer.AsSpan(0, count).IndexOf("StageService/Forward"u8) >= 0;
                while (_cut || (_hopCut && line.IsHop))
                    await Task.Delay(10, _stop.Token);
                await to.SendAsync(buffer.AsMemory(0, count), _stop.Token);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Ends below.
        }

        from.Dispose();
        to.Dispose();
    }

    private sealed class Line
    {
        public volatile bool IsHop;
    }
}
