using Distributed.Cluster.Certificates;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Cluster;

/// <summary>
/// The sender's side of a stage's Forward stream: the coordinator's to stage 0, each worker's to the stage behind its own.
/// Frames arrive in the order sent. One sender at a time.
/// </summary>
public sealed class ForwardStream : IStageHop
{
    // A stage answers its Hello after the whole chain behind it has: every hop waits longer than the one behind it.
    private static readonly TimeSpan HelloTimeoutPerStage = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(2);

    private readonly GrpcChannel _channel;
    private readonly AsyncDuplexStreamingCall<StageFrame, StageReply> _call;
    private readonly CancellationTokenSource _ending;
    private readonly PeerClock _clock;
    private readonly string _peer;
    private readonly int _stage;
    private int _disposed;

    private ForwardStream(
        GrpcChannel channel, AsyncDuplexStreamingCall<StageFrame, StageReply> call, CancellationTokenSource ending, PeerClock clock,
        string peer, int stage)
    {
        _channel = channel;
        _call = call;
        _ending = ending;
        _clock = clock;
        _peer = peer;
        _stage = stage;
        Closed = WatchAsync();
    }

    /// <inheritdoc/>
    public Task<StageFailureException?> Closed { get; }

    /// <summary>Opens the stream and with it the chain of all stages behind.</summary>
    /// <param name="address">The worker that holds the stage.</param>
    /// <param name="hello">Who calls, and for which stage.</param>
    /// <param name="stagesFromHere">Stages that must answer: this one and all behind it.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <param name="link">What to make of the connection; null to leave it as it is.</param>
    /// <param name="member">Who must answer there; null for plain text.</param>
    /// <param name="silence">How long the connection may be silent before it counts as lost; null for the channel's own time.</param>
    /// <exception cref="StageFailureException">The stage cannot be reached, or it or one behind it refuses.</exception>
    public static async Task<ForwardStream> OpenAsync(
        NodeAddress address, Hello hello, int stagesFromHere, CancellationToken cancellation, LinkShape? link = null,
        NodePeer? member = null, TimeSpan? silence = null)
    {
        var peer = address.ToString();
        var channel = NodeChannel.Open(address, HelloTimeoutPerStage, link, member, silence);
        var ending = new CancellationTokenSource();
        AsyncDuplexStreamingCall<StageFrame, StageReply>? call = null;
        PeerClock? clock = null;
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            patience.CancelAfter(HelloTimeoutPerStage * stagesFromHere);
            var client = new StageService.StageServiceClient(channel);
            clock = await PeerClock.OpenAsync(address, client, patience.Token);

            call = client.Forward(cancellationToken: ending.Token);
            await call.RequestStream.SendAsync(new StageFrame { Hello = hello }, patience.Token);
            if (!await call.ResponseStream.MoveNext(patience.Token))
                throw new StageFailureException(FailureCode.HopLost, "closed the stream without an answer", peer, hello.Stage);
            if (call.ResponseStream.Current.Refused is { } refused)
                throw new StageFailureException(refused);
            return new ForwardStream(channel, call, ending, clock, peer, hello.Stage);
        }
        catch (Exception error)
        {
            await ending.CancelAsync();
            clock?.Dispose();
            call?.Dispose();
            channel.Dispose();
            ending.Dispose();
            throw error switch
            {
                RpcException { StatusCode: StatusCode.Cancelled } when cancellation.IsCancellationRequested => new OperationCanceledException(cancellation),
                RpcException { StatusCode: StatusCode.Cancelled } or OperationCanceledException when !cancellation.IsCancellationRequested =>
                    new StageFailureException(FailureCode.NextUnreachable, $"no answer within {HelloTimeoutPerStage * stagesFromHere}", peer, hello.Stage),
                RpcException rpc => StageFailureException.From(rpc, FailureCode.NextUnreachable, peer, hello.Stage),
                _ => error,
            };
        }
    }

    /// <inheritdoc/>
    public Task SendAsync(Step step)
    {
        step.Checksum = FrameChecksum.Of(step, step.Hidden.Span);
        step.SentNs = NodeClock.Now + _clock.OffsetNs;
        return SendAsync(new StageFrame { Step = step });
    }

    /// <inheritdoc/>
    public Task SendAsync(Release release)
    {
        release.Checksum = FrameChecksum.Of(release);
        return SendAsync(new StageFrame { Release = release });
    }

    /// <summary>Ends the stream; the chain behind it ends too.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 1)
            return;
        try
        {
            await _call.RequestStream.CompleteAsync().WaitAsync(CloseTimeout);
            await Closed.WaitAsync(CloseTimeout);
        }
        catch (Exception error) when (error is RpcException or InvalidOperationException or TimeoutException or IOException)
        {
            // The peer is gone already, or does not hurry; cancelling below ends it on this side.
        }

        await EndAsync();
    }

    /// <inheritdoc/>
    public async ValueTask AbortAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
            await EndAsync();
    }

    private async Task EndAsync()
    {
        await _ending.CancelAsync();
        _clock.Dispose();
        _call.Dispose();
        _channel.Dispose();
        _ending.Dispose();
    }

    private async Task SendAsync(StageFrame frame)
    {
        try
        {
            await _call.RequestStream.SendAsync(frame);
        }
        catch (RpcException error) when (error.Status.DebugException is InvalidOperationException)
        {
            // The peer has ended the call, and said why.
            var told = await Closed.WaitAsync(CloseTimeout).ContinueWith(closed => closed.IsCompletedSuccessfully ? closed.Result : null, TaskScheduler.Default);
            throw told ?? new StageFailureException(FailureCode.HopLost, "the stream has ended", _peer, _stage, error);
        }
        catch (Exception error) when (error is RpcException or OperationCanceledException)
        {
            throw error is RpcException rpc
                ? StageFailureException.From(rpc, FailureCode.HopLost, _peer, _stage)
                : new StageFailureException(FailureCode.HopLost, "the stream has ended", _peer, _stage, error);
        }
    }

    private async Task<StageFailureException?> WatchAsync()
    {
        try
        {
            // Nothing but the end follows the one answer to the Hello.
            while (await _call.ResponseStream.MoveNext(CancellationToken.None))
            {
            }

            return null;
        }
        catch (RpcException error)
        {
            return _ending.IsCancellationRequested ? null : StageFailureException.From(error, FailureCode.HopLost, _peer, _stage);
        }
    }
}
