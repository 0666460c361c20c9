using System.Buffers;
using System.Diagnostics;
using System.Net;
using System.Text;
using Distributed.Cluster.Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;

namespace Distributed.Cluster;

/// <summary>
/// Stands before a node's gRPC server: lets in who speaks its protocol and, where it has certificates, shows one of a member. Who is
/// refused is told of once and leaves nothing behind.
/// </summary>
internal sealed class ConnectionGate
{
    /// <summary>The most connections at once: some hundred nodes with a few each.</summary>
    public const int MaxConnections = 1024;

    /// <summary>The most of them that have not said yet who they are.</summary>
    public const int MaxHandshakes = 128;

    /// <summary>How long one may take for that.</summary>
    public static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(5);

    // Who is refused for what it speaks may still be sending: until it is silent for so long, but not for ever, and no more than a peer
    // of HTTP/2 may send before it is answered, 65,535 bytes of a call, and what stands around them.
    private const long MostHeardOut = 128 << 10;
    private static readonly TimeSpan Silence = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan PartingTimeout = TimeSpan.FromSeconds(1);

    private const byte TlsHandshake = 0x16;
    private static readonly byte[] Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray();
    private static readonly byte[][] Http1Methods =
        [.. new[] { "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT" }.Select(method => Encoding.ASCII.GetBytes($"{method} "))];

    // Keys of what a connection carries along: that it was let in, or why not.
    private static readonly object Admitted = new();
    private static readonly object Reason = new();

    private readonly bool _isTls;
    private readonly RefusalLog _refusals;
    private int _open;
    private int _handshaking;

    private ConnectionGate(bool isTls, ILogger log) => (_isTls, _refusals) = (isTls, new RefusalLog(log));

    /// <summary>Puts a gate before an address.</summary>
    /// <param name="listen">The address.</param>
    /// <param name="certificates">What this node shows, and holds others against; null for plain text.</param>
    /// <param name="log">Where refusals are told.</param>
    public static void AddTo(ListenOptions listen, NodeCertificates? certificates, ILogger log)
    {
        var gate = new ConnectionGate(certificates is not null, log);
        listen.Use(next => connection => gate.EnterAsync(next, connection));
        if (certificates is not null)
        {
            listen.UseHttps(new TlsHandshakeCallbackOptions
            {
                HandshakeTimeout = HandshakeTimeout,
                OnConnection = hello => ValueTask.FromResult(certificates.Server(reason => hello.Connection.Items[Reason] = reason)),
            });
        }

        listen.Use(next => connection =>
        {
            connection.Items[Admitted] = true;
            Interlocked.Decrement(ref gate._handshaking);
            return next(connection);
        });
    }

    private async Task EnterAsync(ConnectionDelegate next, ConnectionContext connection)
    {
        var open = Interlocked.Increment(ref _open);
        var handshaking = Interlocked.Increment(ref _handshaking);
        try
        {
            if (open > MaxConnections)
                connection.Items[Reason] = $"finds {MaxConnections} connections open, the most there may be";
            else if (handshaking > MaxHandshakes)
                connection.Items[Reason] = $"finds {MaxHandshakes} connections whose ends have not said who they are, the most there may be";
            else if (await SpeaksAsync(connection))
                await next(connection);
        }
        finally
        {
            Interlocked.Decrement(ref _open);
            if (!connection.Items.ContainsKey(Admitted))
            {
                Interlocked.Decrement(ref _handshaking);
                Refuse(connection);
            }
        }
    }

    // Who closes without a word, as one does who looks whether a port is open, is not worth telling of.
    private void Refuse(ConnectionContext connection)
    {
        if (connection.Items.TryGetValue(Reason, out var reason) && reason is string why)
            _refusals.Add(connection.RemoteEndPoint is IPEndPoint remote ? $"{remote.Address}" : "a process of this machine", why);
        connection.Abort();
    }

    // Looks at the first bytes and leaves them where they are. Where they are not what they must be, the reason is put down.
    private async Task<bool> SpeaksAsync(ConnectionContext connection)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed);
        patience.CancelAfter(HandshakeTimeout);
        var input = connection.Transport.Input;
        try
        {
            while (true)
            {
                var read = await input.ReadAsync(patience.Token);
                var (isKnown, reason) = Judge(read.Buffer.Slice(0, Math.Min(read.Buffer.Length, Preface.Length)).ToArray());
                // What is known needs no more bytes; the next reader gets these at once.
                input.AdvanceTo(read.Buffer.Start, isKnown ? read.Buffer.Start : read.Buffer.End);
                if (isKnown && reason is null)
                {
                    // Told unless the handshake ends well.
                    if (_isTls)
                        connection.Items[Reason] = "did not complete the TLS handshake: it may not take this node's certificate for a member's";
                    return true;
                }

                if (isKnown || (read.IsCompleted && !read.Buffer.IsEmpty))
                    connection.Items[Reason] = reason ?? "speaks another protocol";
                if (isKnown)
                    await HearOutAsync(connection);
                if (isKnown || read.IsCompleted)
                    return false;
            }
        }
        catch (OperationCanceledException)
        {
            if (!connection.ConnectionClosed.IsCancellationRequested)
                connection.Items[Reason] = $"did not say who it is within {HandshakeTimeout.TotalSeconds} s";
            return false;
        }
        catch (IOException)
        {
            return false;
        }
    }

    // A connection closed with bytes on their way to it is reset: its other end would find a broken pipe, as that of a node that fails,
    // where it is to find that it was closed.
    private static async Task HearOutAsync(ConnectionContext connection)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed);
        var input = connection.Transport.Input;
        var began = Stopwatch.GetTimestamp();
        try
        {
            for (var heard = 0L; heard < MostHeardOut;)
            {
                var left = PartingTimeout - Stopwatch.GetElapsedTime(began);
                if (left <= TimeSpan.Zero)
                    return;
                patience.CancelAfter(left < Silence ? left : Silence);
                var read = await input.ReadAsync(patience.Token);
                heard += read.Buffer.Length;
                input.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted)
                    return;
            }
        }
        catch (Exception error) when (error is OperationCanceledException or IOException)
        {
            // It is silent, or has closed the connection itself.
        }
    }

    // Whether the bytes tell what is spoken, and if so what is wrong with that; null for nothing.
    private (bool IsKnown, string? Reason) Judge(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return (false, null);
        if (bytes[0] == TlsHandshake)
            return (true, _isTls ? null : "speaks TLS, and this node has no certificates");
        if (Preface.AsSpan().StartsWith(bytes))
            return (bytes.Length == Preface.Length, _isTls ? "speaks in plain text, without a certificate" : null);
        foreach (var method in Http1Methods)
        {
            if (bytes.StartsWith(method))
                return (true, "speaks HTTP/1, not the workers' protocol");
            if (method.AsSpan().StartsWith(bytes))
                return (false, null);
        }

        return (true, "speaks another protocol");
    }
}
