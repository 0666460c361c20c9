using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Distributed.Cluster.Links;

/// <summary>Two connected sockets of this machine with a thread at the far end: what a link costs before anything is put on top.</summary>
public sealed class RawSocketPair : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Socket _near;
    private readonly Socket _far;

    /// <param name="unix">Unix sockets; otherwise TCP over loopback.</param>
    public RawSocketPair(bool unix)
    {
        var path = Path.Combine(Path.GetTempPath(), $"distributed-{Guid.NewGuid():N}"[..24]);
        EndPoint address = unix ? new UnixDomainSocketEndPoint(path) : new IPEndPoint(IPAddress.Loopback, 0);
        try
        {
            using var listener = New();
            listener.Bind(address);
            listener.Listen(1);
            _near = New();
            _near.Connect(listener.LocalEndPoint!);
            _far = listener.Accept();
        }
        finally
        {
            File.Delete(path);
        }

        foreach (var socket in (Socket[])[_near, _far])
        {
            if (!unix)
                socket.NoDelay = true;
            socket.SendTimeout = socket.ReceiveTimeout = (int)Patience.TotalMilliseconds;
        }

        Socket New() => unix
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    }

    /// <summary>Sends bytes and waits for an answer, time after time.</summary>
    /// <param name="bytes">Bytes there.</param>
    /// <param name="answer">Bytes back.</param>
    /// <param name="rounds">How often, behind as many that only warm up.</param>
    /// <param name="before">What is done before each round, untimed; null for nothing.</param>
    /// <returns>ns of each round.</returns>
    public long[] Time(int bytes, int answer, int rounds, Action? before = null)
    {
        var far = new Thread(() => Answer(bytes, answer, 2 * rounds)) { IsBackground = true, Name = "raw socket" };
        far.Start();
        var (there, back) = (new byte[bytes], new byte[answer]);
        var times = new long[rounds];
        for (var round = -rounds; round < rounds; round++)
        {
            before?.Invoke();
            var clock = Stopwatch.GetTimestamp();
            Send(_near, there);
            Receive(_near, back);
            if (round >= 0)
                times[round] = (long)Stopwatch.GetElapsedTime(clock).TotalNanoseconds;
        }

        far.Join(Patience);
        return times;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _near.Dispose();
        _far.Dispose();
    }

    private void Answer(int bytes, int answer, int rounds)
    {
        var (there, back) = (new byte[bytes], new byte[answer]);
        try
        {
            for (var round = 0; round < rounds; round++)
            {
                Receive(_far, there);
                Send(_far, back);
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // The near end says what is wrong.
        }
    }

    private static void Send(Socket socket, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
            bytes = bytes[socket.Send(bytes)..];
    }

    private static void Receive(Socket socket, Span<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            var count = socket.Receive(bytes);
            bytes = count > 0 ? bytes[count..] : throw new SocketException((int)SocketError.ConnectionReset);
        }
    }
}
