using System.Diagnostics;
using System.Net.Sockets;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Cluster.Links;

/// <summary>
/// Times the way from this node to another over a Forward stream: hidden states of a decode step there and back, those of a
/// prefill chunk there and acknowledged. Beside it, where that is wanted and the other node is on this machine, a plain socket does
/// the same.
/// </summary>
public static class LinkProbe
{
    /// <summary>The most bytes an echo gives back; of more it says only that they came.</summary>
    public const int MostEchoed = 64 << 10;

    // A chunk must be long beside a step, or the difference of their times says nothing.
    private const int QuickStepBytes = 4 << 10;
    private const int LeastQuickBytes = 8 * QuickStepBytes;
    private const int MostQuickBytes = 512 << 10;
    private const int QuickMs = 400;

    // Of a link so slow that its time is up: what a median or a minimum needs.
    private const int LeastRounds = 3;

    private const int MostRounds = 10_000;
    private const int MostRestMs = 1000;
    private const int MostLimitMs = 60_000;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RoundTimeout = TimeSpan.FromMinutes(1);

    /// <summary>
    /// A quick look at a link, enough for a plan: hidden states of a few kilobytes, then of half a megabyte or less, for well under
    /// a second in all unless three rounds take longer.
    /// </summary>
    /// <param name="address">The far end.</param>
    /// <param name="link">What to make of the connection; null to leave it as it is.</param>
    /// <param name="peer">The name of the worker there.</param>
    public static ProbeLinkRequest Quick(NodeAddress address, LinkShape? link, string peer) => new()
    {
        Address = address.ToString(),
        Link = link?.ToString() ?? "",
        StepBytes = QuickStepBytes,
        Steps = 20,
        RestMs = 2,
        // No more than a slow link carries in a moment: what else is on it, like HTTP/2's pings, waits behind the chunk.
        ChunkBytes = (int)Math.Clamp(link?.BitsPerSecond / 8 / 20 ?? MostQuickBytes, LeastQuickBytes, MostQuickBytes),
        Chunks = 4,
        MostMs = QuickMs,
        Peer = peer,
    };

    /// <summary>Times the link that the request names.</summary>
    /// <param name="request">The request, unchecked.</param>
    /// <param name="sender">This node's name.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <param name="own">What this node shows; null for plain text.</param>
    /// <returns>The times, or a failure.</returns>
    public static async Task<ProbeLinkReply> RunAsync(ProbeLinkRequest request, string sender, CancellationToken cancellation, NodeCertificates? own = null)
    {
        var errors = Errors(request);
        if (errors.Count > 0)
            return Failed(FailureCode.BadFrame, string.Join("; ", errors));
        var address = NodeAddress.TryParse(request.Address)!;
        var link = LinkShape.Parse("link", request.Link);
        var reply = new ProbeLinkReply();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var most = ConnectTimeout + (RoundTimeout * 2) + (link?.Wait ?? TimeSpan.Zero);
        patience.CancelAfter(most);
        try
        {
            using var channel = NodeChannel.Open(address, ConnectTimeout, link, own is null ? null : new NodePeer(own, request.Peer));
            using var call = new StageService.StageServiceClient(channel).Forward(cancellationToken: patience.Token);
            var hello = new Hello { ProtocolVersion = ProtocolVersion.Current, Sender = sender, Probe = true };
            await call.RequestStream.SendAsync(new StageFrame { Hello = hello }, patience.Token);
            if (!await call.ResponseStream.MoveNext(patience.Token))
                return Failed(FailureCode.HopLost, $"{address} closed the stream without an answer");
            if (call.ResponseStream.Current.Refused is { } refused)
                return new ProbeLinkReply { Failure = refused };
            reply.StepNs.Add(await TimeAsync(call, request.StepBytes, request.Steps, request.RestMs, request.MostMs, patience.Token));
            reply.ChunkNs.Add(await TimeAsync(call, request.ChunkBytes, request.Chunks, request.RestMs, request.MostMs, patience.Token));
            await call.RequestStream.CompleteAsync();
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            if (patience.IsCancellationRequested)
                return Failed(FailureCode.NextUnreachable, NotWithin());
            return new ProbeLinkReply { Failure = StageFailureException.From(error, FailureCode.NextUnreachable, address.ToString()).Failure };
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return Failed(FailureCode.NextUnreachable, NotWithin());
        }

        if (!request.WantRaw || !address.IsThisMachine || link is not null)
            return reply;
        try
        {
            using var socket = new RawSocketPair(address.SocketPath is not null);
            reply.RawStepNs.Add(socket.Time(request.StepBytes, request.StepBytes, request.Steps));
            reply.RawChunkNs.Add(socket.Time(request.ChunkBytes, 1, request.Chunks));
        }
        catch (SocketException error)
        {
            return Failed(FailureCode.HopLost, $"a plain socket could not be timed: {error.Message}");
        }

        return reply;

        string NotWithin() => $"{address} did not answer all that was sent within {most.TotalSeconds:0} s";

        ProbeLinkReply Failed(FailureCode code, string message) =>
            new() { Failure = new Failure { Code = code, Message = message, Worker = sender, Stage = -1 } };
    }

    /// <summary>The other end: answers every step until the sender has done.</summary>
    public static async Task EchoAsync(
        IAsyncStreamReader<StageFrame> frames, IServerStreamWriter<StageReply> replies, CancellationToken cancellation)
    {
        await replies.WriteAsync(new StageReply { Accepted = new HelloAccepted() }, cancellation);
        while (await frames.MoveNext(cancellation))
        {
            if (frames.Current.Step is not { } step)
                continue;
            var hidden = step.ReceivedHidden;
            await replies.WriteAsync(new StageReply
            {
                Echo = hidden.Length <= MostEchoed ? UnsafeByteOperations.UnsafeWrap(hidden) : ByteString.Empty,
            }, cancellation);
            step.ReturnHidden();
        }
    }

    private static async Task<List<long>> TimeAsync(
        AsyncDuplexStreamingCall<StageFrame, StageReply> call, int bytes, int rounds, int restMs, int mostMs,
        CancellationToken cancellation)
    {
        var hidden = UnsafeByteOperations.UnsafeWrap(new byte[bytes]);
        var limit = mostMs > 0 ? TimeSpan.FromMilliseconds(mostMs) : TimeSpan.MaxValue;
        // As many again before, for the code to be compiled and the buffers to be there.
        await TimeAsync(1, limit / 4);
        return await TimeAsync(Math.Min(rounds, LeastRounds), limit);

        async Task<List<long>> TimeAsync(int least, TimeSpan limit)
        {
            var times = new List<long>(rounds);
            var began = Stopwatch.GetTimestamp();
            while (times.Count < rounds && (times.Count < least || Stopwatch.GetElapsedTime(began) < limit))
            {
                if (restMs > 0)
                    await Task.Delay(restMs, cancellation);
                var clock = Stopwatch.GetTimestamp();
                await call.RequestStream.SendAsync(new StageFrame { Step = new Step { Step_ = times.Count, Hidden = hidden } }, cancellation);
                if (!await call.ResponseStream.MoveNext(cancellation))
                    throw new RpcException(new Status(StatusCode.Unavailable, "the stream has ended"));
                times.Add((long)Stopwatch.GetElapsedTime(clock).TotalNanoseconds);
            }

            return times;
        }
    }

    private static List<InputError> Errors(ProbeLinkRequest request)
    {
        List<InputError> errors = [];
        if (NodeAddress.TryParse(request.Address) is not { } address)
            errors.Add(new InputError("address", request.Address, NodeAddress.Rule));
        else if (address is { SocketPath: null, Port: 0 })
            errors.Add(new InputError("address", request.Address, "must have a port from 1 to 65535"));
        if (request.Link.Length > 0 && !LinkShape.TryParse(request.Link, out _))
            errors.Add(new InputError("link", request.Link, LinkShape.Rule));
        CheckRange("step_bytes", request.StepBytes, 1, MostEchoed);
        CheckRange("chunk_bytes", request.ChunkBytes, 1, NodeChannel.MaxMessageBytes / 2);
        CheckRange("rest_ms", request.RestMs, 0, MostRestMs);
        CheckRange("most_ms", request.MostMs, 0, MostLimitMs);
        CheckRange("steps", request.Steps, 1, MostRounds);
        CheckRange("chunks", request.Chunks, 1, MostRounds);
        return errors;

        void CheckRange(string key, int value, int min, int max)
        {
            if (value < min || value > max)
                errors.Add(new InputError(key, $"{value}", $"must lie between {min} and {max}"));
        }
    }
}
