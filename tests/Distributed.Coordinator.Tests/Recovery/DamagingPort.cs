using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Distributed.Cluster;

namespace Distributed.Coordinator.Tests.Recovery;

/// <summary>
/// A port in front of a worker that damages, once told to, what is sent to it in one large message. Small packets, which carry no hidden
/// states, go through as they are, and so do the headers of calls, in which a bit may be of no account.
/// </summary>
internal sealed class DamagingPort : IDisposable
{
    private const int FrameHeader = 9;
    private const int MessageHeader = 5;

    // The second of four bytes: a megabyte more.
    private const int LengthAt = FrameHeader + 2;

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly NodeAddress _worker;
    private int _damages;
    private Damage _damage;

    public DamagingPort(NodeAddress worker)
    {
        _worker = worker;
        _listener.Start();
        _ = AcceptAsync();
    }

    public NodeAddress Address => NodeAddress.Parse("port", $"{_listener.LocalEndpoint}");

    /// <summary>How often it has done so.</summary>
    public int Damaged { get; private set; }

    public void Do(Damage damage)
    {
        _damage = damage;
        Volatile.Write(ref _damages, 1);
    }

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
                _ = PassAsync(outside, inside, damages: true);
                _ = PassAsync(inside, outside, damages: false);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Stopped, or the worker has.
        }
    }

    // A DATA frame of HTTP/2 with all of a gRPC message that is not compressed.
    private static bool BeginsMessage(byte[] packet, int count) => packet[3] == 0 && packet[9] == 0
        && BinaryPrimitives.ReadInt32BigEndian(packet) >> 8 <= count - FrameHeader
        && BinaryPrimitives.ReadInt32BigEndian(packet.AsSpan(FrameHeader + 1)) == (BinaryPrimitives.ReadInt32BigEndian(packet) >> 8) - MessageHeader;

    private async Task PassAsync(Socket from, Socket to, bool damages)
    {
        var buffer = new byte[1 << 16];
        try
        {
            while (await from.ReceiveAsync(buffer, _stop.Token) is var count and > 0)
            {
                if (damages && count > 300 && BeginsMessage(buffer, count) && Interlocked.Exchange(ref _damages, 0) == 1)
                {
                    Damaged++;
                    if (_damage == Damage.End)
                    {
                        await to.SendAsync(buffer.AsMemory(0, count / 2), _stop.Token);
                        break;
                    }

                    buffer[_damage == Damage.Length ? LengthAt : count / 2] ^= 0x10;
                }

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
}

/// <summary>What a <see cref="DamagingPort"/> does to a packet.</summary>
public enum Damage
{
    /// <summary>A bit in the middle turned over.</summary>
    Bit,

    /// <summary>The end cut off, and the connection with it.</summary>
    End,

    /// <summary>A bit of the message's length: the receiver waits for a megabyte that nobody sends.</summary>
    Length,
}
