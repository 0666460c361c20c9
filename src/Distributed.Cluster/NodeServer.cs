using System.Net;
using System.Net.Sockets;
using Distributed.Cluster.Certificates;
using Distributed.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Distributed.Cluster;

/// <summary>Kestrel as a node's gRPC server: the counterpart of <see cref="NodeChannel"/>.</summary>
public static class NodeServer
{
    /// <summary>Listens on the address, HTTP/2 only, with windows as large as the channel's.</summary>
    /// <param name="kestrel">The server.</param>
    /// <param name="address">Where.</param>
    /// <param name="certificates">
    /// What this node shows, to members alone; null for plain text, to whoever comes. A socket of this machine is plain in any case.
    /// </param>
    /// <exception cref="InvalidInputException">The host name has no address on this machine.</exception>
    public static void Listen(KestrelServerOptions kestrel, NodeAddress address, NodeCertificates? certificates = null)
    {
        var log = kestrel.ApplicationServices.GetRequiredService<ILoggerFactory>().CreateLogger(typeof(NodeServer).FullName!);
        var limits = kestrel.Limits;
        limits.Http2.InitialStreamWindowSize = NodeChannel.StreamWindowBytes;
        limits.Http2.InitialConnectionWindowSize = NodeChannel.StreamWindowBytes * 2;
        limits.Http2.MaxFrameSize = (1 << 24) - 1;
        limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(5);
        limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(5);
        // Streams stay open for as long as a pipeline does, mostly silent.
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        limits.MaxRequestBodySize = null;

        if (address.SocketPath is { } path)
            kestrel.ListenUnixSocket(path, listen => Open(listen, null));
        else if (IPAddress.TryParse(address.Host, out var ip))
            kestrel.Listen(ip, address.Port, listen => Open(listen, certificates));
        else if (address.Host == "localhost")
            kestrel.Listen(IPAddress.Loopback, address.Port, listen => Open(listen, certificates));
        else
            kestrel.Listen(Resolve(address), address.Port, listen => Open(listen, certificates));

        void Open(ListenOptions listen, NodeCertificates? own)
        {
            listen.Protocols = HttpProtocols.Http2;
            ConnectionGate.AddTo(listen, own, log);
        }
    }

    /// <summary>
    /// Has what follows a read or write of a socket run on the thread that learns of it, instead of waking another one for it: for
    /// this whole process, and only before its first socket. Nothing of ours blocks there.
    /// </summary>
    public static void PreferInlineCompletions() => Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");

    /// <summary>
    /// Sockets for few connections that matter: what arrives is parsed by the thread that read it, and a step's bytes fit the
    /// buffers without waiting.
    /// </summary>
    public static void Tune(SocketTransportOptions sockets)
    {
        sockets.UnsafePreferInlineScheduling = true;
        sockets.IOQueueCount = 0;
        sockets.MaxReadBufferSize = NodeChannel.StreamWindowBytes;
        sockets.MaxWriteBufferSize = NodeChannel.StreamWindowBytes;
    }

    private static IPAddress Resolve(NodeAddress address)
    {
        try
        {
            return Dns.GetHostAddresses(address.Host!)[0];
        }
        catch (Exception error) when (error is SocketException or IndexOutOfRangeException)
        {
            throw new InvalidInputException("--listen", address.ToString(), "must name an address of this machine");
        }
    }
}
