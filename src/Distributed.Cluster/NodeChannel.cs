using System.Net;
using System.Net.Sockets;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Links;
using Grpc.Net.Client;

namespace Distributed.Cluster;

/// <summary>gRPC channels between nodes, tuned for few long streams of large messages.</summary>
public static class NodeChannel
{
    /// <summary>The largest message between nodes, bytes: hidden states or logits of one step.</summary>
    public const int MaxMessageBytes = 256 << 20;

    /// <summary>HTTP/2 flow-control window of a stream, bytes; a prefill chunk fits without waiting for a window update.</summary>
    public const int StreamWindowBytes = 16 << 20;

    private static readonly TimeSpan DefaultSilence = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LeastPing = TimeSpan.FromSeconds(1);

    /// <summary>A channel to a node. Nothing is sent until the first call.</summary>
    /// <param name="address">Where the node listens.</param>
    /// <param name="connectTimeout">How long a connection may take to come about.</param>
    /// <param name="link">What to make of the connection; null to leave it as it is.</param>
    /// <param name="peer">
    /// Who must answer there, over TLS; null for plain text. Over a socket of this machine everything is: its file says who may.
    /// </param>
    /// <param name="silence">
    /// How long the connection may be silent while a call is under way before it counts as lost, at least about 2 s; null for 10 s.
    /// </param>
    public static GrpcChannel Open(
        NodeAddress address, TimeSpan connectTimeout, LinkShape? link = null, NodePeer? peer = null, TimeSpan? silence = null)
    {
        // HTTP/2 in .NET takes no shorter ones.
        var half = (silence ?? DefaultSilence) / 2 is var part && part > LeastPing ? part : LeastPing;
        var handler = new SocketsHttpHandler
        {
            ConnectTimeout = connectTimeout,
            InitialHttp2StreamWindowSize = StreamWindowBytes,
            EnableMultipleHttp2Connections = true,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            // A peer that is gone without closing its connection is noticed by these.
            KeepAlivePingDelay = half,
            KeepAlivePingTimeout = half + (link?.Wait ?? TimeSpan.Zero),
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            UseProxy = false,
        };
        var isPlain = peer is null || address.SocketPath is not null;
        if (!isPlain)
            handler.SslOptions = peer!.Certificates.Client(peer.Name);
        handler.ConnectCallback = async (_, cancellation) =>
        {
            var connection = await ConnectAsync(address, cancellation);
            return link is null ? connection : new ShapedStream(connection, link);
        };
        var uri = address.SocketPath is null ? $"{(isPlain ? "http" : "https")}://{address}" : "http://localhost";
        return GrpcChannel.ForAddress(uri, new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = MaxMessageBytes,
            MaxSendMessageSize = MaxMessageBytes,
        });
    }

    private static async Task<Stream> ConnectAsync(NodeAddress address, CancellationToken cancellation)
    {
        var socket = address.SocketPath is null
            ? new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true }
            : new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            EndPoint node = address.SocketPath is { } path ? new UnixDomainSocketEndPoint(path) : new DnsEndPoint(address.Host!, address.Port);
            await socket.ConnectAsync(node, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
