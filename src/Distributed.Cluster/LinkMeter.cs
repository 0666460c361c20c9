using System.Diagnostics;
using Distributed.Cluster.Protocol;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Cluster;

/// <summary>Measures the link from this node to a worker over a stream like those that steps take.</summary>
public static class LinkMeter
{
    /// <summary>How long a measurement may take in all.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private const int SmallBytes = 4096;
    private const int LargeBytes = 1 << 20;
    private const int MostLarge = 4;
    private static readonly TimeSpan WarmUp = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Trips = TimeSpan.FromMilliseconds(40);
    private const int FewestTrips = 5;
    private const int MostTrips = 100;

    /// <summary>Round trip and bandwidth; where the worker cannot be reached, a profile that says so.</summary>
    /// <param name="address">Where the worker listens.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<LinkProfile> MeasureAsync(NodeAddress address, CancellationToken cancellation)
    {
        var profile = new LinkProfile { Address = address.ToString() };
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        try
        {
            using var channel = NodeChannel.Open(address, Patience);
            using var call = new StageService.StageServiceClient(channel).Echo(cancellationToken: patience.Token);
            var small = UnsafeByteOperations.UnsafeWrap(new byte[SmallBytes]);
            // The first trips open the connection and compile code.
            await TripsAsync(call, small, WarmUp, patience.Token);
            var trips = await TripsAsync(call, small, Trips, patience.Token);
            trips.Sort();
            profile.RoundTripSeconds = trips[trips.Count / 2];
            profile.BytesPerSecond = await BandwidthAsync(call, profile.RoundTripSeconds, patience.Token);
            await call.RequestStream.CompleteAsync().WaitAsync(patience.Token);
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            profile.Failure = StageFailureException.From(error, FailureCode.NextUnreachable, address.ToString()).Failure.Message;
        }
        catch (Exception error) when (error is OperationCanceledException or InvalidOperationException)
        {
            cancellation.ThrowIfCancellationRequested();
            profile.Failure = $"{address} did not answer within {Patience.TotalSeconds} s";
        }

        return profile;
    }

    private static async Task<List<double>> TripsAsync(
        AsyncDuplexStreamingCall<EchoFrame, EchoReply> call, ByteString payload, TimeSpan budget, CancellationToken cancellation)
    {
        var trips = new List<double>();
        var all = Stopwatch.StartNew();
        while (trips.Count < FewestTrips || (trips.Count < MostTrips && all.Elapsed < budget))
            trips.Add(await TripAsync(call, payload, cancellation));
        return trips;
    }

    // The least of a few: others on the way only ever take some of it.
    private static async Task<double> BandwidthAsync(
        AsyncDuplexStreamingCall<EchoFrame, EchoReply> call, double roundTrip, CancellationToken cancellation)
    {
        var large = UnsafeByteOperations.UnsafeWrap(new byte[LargeBytes]);
        var least = double.MaxValue;
        for (var i = 0; i < MostLarge; i++)
        {
            least = Math.Min(least, await TripAsync(call, large, cancellation));
            // A slow link need not carry it again and again to be known as slow.
            if (i > 0 && least > Trips.TotalSeconds)
                break;
        }

        return (LargeBytes - SmallBytes) / Math.Max(least - roundTrip, 1e-6);
    }

    private static async Task<double> TripAsync(
        AsyncDuplexStreamingCall<EchoFrame, EchoReply> call, ByteString payload, CancellationToken cancellation)
    {
        var start = Stopwatch.GetTimestamp();
        await call.RequestStream.WriteAsync(new EchoFrame { Payload = payload }, cancellation);
        if (!await call.ResponseStream.MoveNext(cancellation))
            throw new InvalidOperationException("the stream has ended");
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
