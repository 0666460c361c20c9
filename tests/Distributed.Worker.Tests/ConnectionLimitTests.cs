using System.Net.Sockets;
using Distributed.Cluster.Protocol;

namespace Distributed.Worker.Tests;

public sealed class ConnectionLimitTests
{
    // What every client of HTTP/2 says first, and settings that set nothing.
    private static readonly byte[] Greeting = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0"u8.ToArray();

    [Theory]
    [InlineData(128, false)]
    [InlineData(1024, true)]
    public async Task One_connection_too_many_is_closed_at_once_and_the_others_leave_their_room(int most, bool greets)
    {
        await using var worker = await RunningWorker.StartAsync();
        var open = new List<Socket>();
        for (var i = 0; i < most; i++)
        {
            open.Add(await ConnectAsync(worker));
            if (greets)
                Assert.NotEqual(0, await GreetAsync(open[^1]));
        }

        // Of those that say nothing one may be seen after the last; they would be closed after five seconds, too.
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(4));
        using var last = await ConnectAsync(worker);
        if (await GreetAsync(last, timeout.Token) > 0)
            while (!open.Exists(socket => socket.Poll(0, SelectMode.SelectRead) && socket.Available == 0))
                await Task.Delay(10, timeout.Token);
        open.ForEach(socket => socket.Dispose());

        while (true)
        {
            using var next = await ConnectAsync(worker);
            if (await GreetAsync(next) > 0)
                break;
            await Task.Delay(10, timeout.Token);
        }

        await worker.Client.ReadClockAsync(new ClockRequest());
    }

    private static async Task<Socket> ConnectAsync(RunningWorker worker)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(worker.Address.SocketPath!));
        return socket;
    }

    // How many bytes come back; none where the worker closes.
    private static async Task<int> GreetAsync(Socket socket, CancellationToken cancellation = default)
    {
        try
        {
            await socket.SendAsync(Greeting, cancellation);
            return await socket.ReceiveAsync(new byte[9], cancellation);
        }
        catch (SocketException)
        {
            return 0;
        }
    }
}
