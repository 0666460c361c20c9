using System.Diagnostics;
using Distributed.Cluster.Protocol;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Cluster.Links;

/// <summary>
/// Times the way from this node to another over a Forward stream: hidden states of a decode step there and back, those of a
/// prefill chunk there and acknowledged. Beside it, where the other node is on this machine, a plain socket does the same.
/// </summary>
public static class LinkProbe
{
    /// <summary>The most bytes an echo gives back; of more it says only that they came.</summary>
    public const int MostEchoed = 64 << 10;

    private const int LeastQuickBytes = 8 << 10;
    private const int MostQuickBytes = 512 << 10;

    private const int MostRounds = 10_000;
    private const int MostRestMs = 1000;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RoundTimeout = TimeSpan.FromMinutes(1);

    /// <summary>A quick look at a link, enough for a plan: hidden states of a few kilobytes, then of half a megabyte or less.</summary>
    /// <param name="address">The far end.</param>
    /// <param name="link">What to make of the connection; null to leave it as it is.</param>
    public static ProbeLinkRequest Quick(NodeAddress address, LinkShape? link) => new()
    {
        Address = address.ToString(),
        Link = link?.ToString() ?? "",
        StepBytes = 4 << 10,
        Steps = 20,
        RestMs = 2,
        // No more than a slow link carries in a moment: what else is on it, like HTTP/2's pings, waits behind the chunk.
        ChunkBytes = (int)Math.Clamp(link?.BitsPerSecond / 8 / 20 ?? MostQuickBytes, LeastQuickBytes, MostQuickBytes),
        Chunks = 2,
    };

    /// <summary>Times the link that the request names.</summary>
    /// <param name="request">The request, unchecked.</param>
    /// <param name="sender">This node's name.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The times, or a failure.</returns>
    public static async Task<ProbeLinkReply> RunAsync(ProbeLinkRequest request, string sender, CancellationToken cancellation)
    {
        if (Error(request) is { } rule)
            return Failed(FailureCode.BadFrame, rule);
        var address = NodeAddress.TryParse(request.Address)!;
        var link = LinkShape.Parse("link", request.Link);
        var reply = new ProbeLinkReply();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(ConnectTimeout + (RoundTimeout * 2));
        try
        {
            using var channel = NodeChannel.Open(address, ConnectTimeout, link);
            using var call = new StageService.StageServiceClient(channel).Forward(cancellationToken: patience.Token);
            var hello = new Hello { ProtocolVersion = ProtocolVersion.Current, Sender = sender, Probe = true };
            await call.RequestStream.WriteAsync(new StageFrame { Hello = hello }, patience.Token);
            if (!await call.ResponseStream.MoveNext(patience.Token))
                return Failed(FailureCode.HopLost, $"{address} closed the stream without an answer");
            if (call.ResponseStream.Current.Refused is { } refused)
                return new ProbeLinkReply { Failure = refused };
            reply.StepNs.Add(await TimeAsync(call, request.StepBytes, request.Steps, request.RestMs, patience.Token));
            reply.ChunkNs.Add(await TimeAsync(call, request.ChunkBytes, request.Chunks, restMs: 0, patience.Token));
            await call.RequestStream.CompleteAsync();
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            return new ProbeLinkReply { Failure = StageFailureException.From(error, FailureCode.NextUnreachable, address.ToString()).Failure };
        }

        if (address.IsThisMachine && link is null)
        {
            using var socket = new RawSocketPair(address.SocketPath is not null);
            reply.RawStepNs.Add(socket.Time(request.StepBytes, request.StepBytes, request.Steps));
            reply.RawChunkNs.Add(socket.Time(request.ChunkBytes, 1, request.Chunks));
        }

        return reply;

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

    private static async Task<long[]> TimeAsync(
        AsyncDuplexStreamingCall<StageFrame, StageReply> call, int bytes, int rounds, int restMs, CancellationToken cancellation)
    {
        var hidden = UnsafeByteOperations.UnsafeWrap(new byte[bytes]);
        var times = new long[rounds];
        // As many again before, for the code to be compiled and the buffers to be there.
        for (var round = -rounds; round < rounds; round++)
        {
            if (restMs > 0)
                await Task.Delay(restMs, cancellation);
            var clock = Stopwatch.GetTimestamp();
            await call.RequestStream.WriteAsync(new StageFrame { Step = new Step { Step_ = round, Hidden = hidden } }, cancellation);
            if (!await call.ResponseStream.MoveNext(cancellation))
                throw new RpcException(new Status(StatusCode.Unavailable, "the stream has ended"));
            if (round >= 0)
                times[round] = (long)Stopwatch.GetElapsedTime(clock).TotalNanoseconds;
        }

        return times;
    }

    private static string? Error(ProbeLinkRequest request)
    {
        if (NodeAddress.TryParse(request.Address) is null)
            return $"address is {request.Address}: {NodeAddress.Rule}";
        if (request.Link.Length > 0 && !LinkShape.TryParse(request.Link, out _))
            return $"link is {request.Link}: {LinkShape.Rule}";
        if (request.StepBytes is < 1 or > MostEchoed)
            return $"step_bytes is {request.StepBytes}: must lie between 1 and {MostEchoed}";
        if (request.ChunkBytes is < 1 or > NodeChannel.MaxMessageBytes / 2)
            return $"chunk_bytes is {request.ChunkBytes}: must lie between 1 and {NodeChannel.MaxMessageBytes / 2}";
        if (request.RestMs is < 0 or > MostRestMs)
            return $"rest_ms is {request.RestMs}: must lie between 0 and {MostRestMs}";
        return request.Steps is < 1 or > MostRounds || request.Chunks is < 1 or > MostRounds
            ? $"steps and chunks are {request.Steps} and {request.Chunks}: must lie between 1 and {MostRounds}"
            : null;
    }
}
