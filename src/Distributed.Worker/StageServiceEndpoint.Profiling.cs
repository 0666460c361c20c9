using System.Threading.Channels;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Quantization;
using Grpc.Core;

namespace Distributed.Worker;

public sealed partial class StageServiceEndpoint
{
    private const int MostPeers = 64;
    private const int EchoQueue = 4;

    /// <inheritdoc/>
    public override async Task<WorkerProfile> Profile(ProfileRequest request, ServerCallContext context)
    {
        var types = request.Types_.Select(name => QuantTypes.All.FirstOrDefault(type => type.Name == name)).ToList();
        var kvTypes = request.KvTypes.Select(KvTypes.TryParse).ToList();
        if (types.Contains(null) || kvTypes.Contains(null))
        {
            var names = string.Join(", ", request.Types_.Concat(request.KvTypes));
            throw new StageFailureException(FailureCode.BadFrame, $"of {names} this worker does not know all", options.Name).ToRpc();
        }

        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        var reply = new WorkerProfile();
        foreach (var device in devices.All)
        {
            reply.Devices.Add(await profiles.GetAsync(
                device, [.. types.OfType<QuantType>()], [.. kvTypes.OfType<KvType>()], request.Again, ending.Token));
        }

        return reply;
    }

    /// <inheritdoc/>
    public override async Task<LinkReport> MeasureLinks(MeasureLinksRequest request, ServerCallContext context)
    {
        var peers = request.Addresses.Take(MostPeers).Select(text => (Text: text, Address: NodeAddress.TryParse(text))).ToList();
        var report = new LinkReport();
        // One after the other: two at a time would measure each other.
        foreach (var (text, address) in peers)
        {
            report.Links.Add(address is null
                ? new LinkProfile { Address = text, Failure = NodeAddress.Rule }
                : await LinkMeter.MeasureAsync(address, context.CancellationToken));
        }

        return report;
    }

    /// <inheritdoc/>
    public override async Task Echo(
        IAsyncStreamReader<EchoFrame> requestStream, IServerStreamWriter<EchoReply> responseStream, ServerCallContext context)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        var inbox = Channel.CreateBounded<int>(EchoQueue);
        var outbox = Channel.CreateBounded<int>(EchoQueue);
        // The same hands that a step goes through: the call receives, a thread of its own would compute, a task sends.
        var computing = new Thread(() => Pass(inbox.Reader, outbox.Writer, ending.Token)) { Name = "echo", IsBackground = true };
        computing.Start();
        var sending = SendAsync();
        try
        {
            while (await requestStream.MoveNext(ending.Token))
                await inbox.Writer.WriteAsync(requestStream.Current.Payload.Length, ending.Token);
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
            // Who measures has gone.
        }
        finally
        {
            inbox.Writer.TryComplete();
            await sending;
        }

        async Task SendAsync()
        {
            try
            {
                await foreach (var bytes in outbox.Reader.ReadAllAsync(ending.Token))
                    await responseStream.WriteAsync(new EchoReply { Received = bytes }, ending.Token);
            }
            catch (Exception error) when (error is IOException or OperationCanceledException or InvalidOperationException)
            {
                // Who measures has gone.
            }
        }
    }

    private static void Pass(ChannelReader<int> inbox, ChannelWriter<int> outbox, CancellationToken cancellation)
    {
        try
        {
            while (inbox.WaitToReadAsync(cancellation).AsTask().GetAwaiter().GetResult())
            {
                while (inbox.TryRead(out var bytes))
                    outbox.WriteAsync(bytes, cancellation).AsTask().GetAwaiter().GetResult();
            }
        }
        catch (Exception error) when (error is OperationCanceledException or ChannelClosedException)
        {
            // The stream has ended.
        }
        finally
        {
            outbox.TryComplete();
        }
    }
}
