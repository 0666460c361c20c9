using System.Collections.Concurrent;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Grpc.Core;

namespace Distributed.Worker.Weights;

/// <summary>Where a load that lacks weights and the stream that brings them find each other.</summary>
/// <param name="worker">This worker's name.</param>
public sealed class PendingSupplies(string worker)
{
    private static readonly TimeSpan ArrivalTimeout = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<(string Pipeline, int Stage), Expected> _expected = new();

    /// <summary>Waits for the stream to a stage that is loading. The load must complete <see cref="WeightSupplyStream.Done"/> in the end.</summary>
    /// <exception cref="StageFailureException">It does not come.</exception>
    public async Task<WeightSupplyStream> WaitAsync(LoadRequest request, CancellationToken cancellation)
    {
        var key = (request.Pipeline, request.Stage);
        var expected = new Expected(request, new TaskCompletionSource<WeightSupplyStream>(TaskCreationOptions.RunContinuationsAsynchronously));
        _expected[key] = expected;
        try
        {
            return await expected.Arrived.Task.WaitAsync(ArrivalTimeout, cancellation);
        }
        catch (TimeoutException error)
        {
            throw new StageFailureException(
                FailureCode.WeightsUnavailable, $"no weights within {ArrivalTimeout.TotalSeconds} s", worker, request.Stage, error);
        }
        finally
        {
            _expected.TryRemove(new(key, expected));
        }
    }

    /// <summary>Gives a stream to the load that waits for it; ends when that needs it no longer.</summary>
    /// <exception cref="StageFailureException">No load waits for it.</exception>
    public async Task OfferAsync(
        SupplyHello hello, IAsyncStreamReader<WeightSupply> answers, IServerStreamWriter<WeightRequest> requests, CancellationToken cancellation)
    {
        var key = (hello.Pipeline, hello.Stage);
        // A stream of another epoch must not take the place of the one that is expected.
        if (!_expected.TryGetValue(key, out var expected)
            || expected.Request.Epoch != hello.Epoch || !expected.Request.ModelHash.Equals(hello.ModelHash)
            || !_expected.TryRemove(new(key, expected)))
            throw new StageFailureException(
                FailureCode.UnknownStage, $"no stage {hello.Stage} of pipeline {hello.Pipeline} waits for weights here", worker, hello.Stage);
        var stream = new WeightSupplyStream(answers, requests);
        if (expected.Arrived.TrySetResult(stream))
            await stream.Done.Task.WaitAsync(cancellation);
    }

    private sealed record Expected(LoadRequest Request, TaskCompletionSource<WeightSupplyStream> Arrived);
}

/// <summary>The two directions of a stream of weights.</summary>
/// <param name="Answers">Chunks, in the order of the requests.</param>
/// <param name="Requests">What is wanted.</param>
public sealed record WeightSupplyStream(IAsyncStreamReader<WeightSupply> Answers, IServerStreamWriter<WeightRequest> Requests)
{
    /// <summary>Completed by the load when it needs the stream no longer.</summary>
    public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
