using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Worker.Weights;

/// <summary>What has come over the wire for a stage that is loading.</summary>
/// <param name="Bytes">Bytes that have arrived.</param>
/// <param name="Total">Bytes that must arrive.</param>
public readonly record struct ReceivedWeights(long Bytes, long Total);

/// <summary>
/// Fills the store with what a stage needs of a model: first the headers of its files, so that the model opens and the stage can be
/// planned, then the tensors. Only what is not there, or not intact, is asked for; without that nobody is asked at all.
/// </summary>
/// <param name="store">The store.</param>
/// <param name="supplies">Where the coordinator's stream arrives.</param>
/// <param name="request">The stage; its outline has been checked.</param>
/// <param name="worker">This worker, for failures.</param>
/// <param name="progress">Told what has arrived; the first time when the coordinator's stream is wanted.</param>
internal sealed class WeightReceiver(
    WeightStore store, PendingSupplies supplies, LoadRequest request, string worker, Action<ReceivedWeights> progress)
{
    private WeightSupplyStream? _stream;
    private ReceivedWeights _received;
    private long _used;

    /// <summary>Receives the stage's weights.</summary>
    /// <param name="plan">Makes the stage of the opened model.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="StoreFullException">There is no room.</exception>
    public async Task<ModelCopy> ReceiveAsync(Func<ModelFile, StageSpec> plan, CancellationToken cancellation)
    {
        try
        {
            try
            {
                return await FillAsync(plan, cancellation);
            }
            catch (StoreFullException full) when (_used <= full.RoomWithoutModel && store.TryRemove(request.ModelHash.Span))
            {
                // What other splits had left of the same model may be all that was in the way.
                return await FillAsync(plan, cancellation);
            }
        }
        finally
        {
            _stream?.Done.TrySetResult();
        }
    }

    private async Task<ModelCopy> FillAsync(Func<ModelFile, StageSpec> plan, CancellationToken cancellation)
    {
        _used = 0;
        var stored = await store.OpenAsync(request.ModelHash.Memory, request.Model, cancellation);
        ModelFile? model = null;
        try
        {
            await BringAsync(stored, [.. stored.Headers], cancellation);
            model = stored.OpenModel();
            var tensors = StageTensors.For(model, plan(model)).Select(tensor => tensor.Tensor);
            var received = await BringAsync(stored, [.. stored.ChunksOf(tensors)], cancellation);
            return new ModelCopy(model, stored, received);
        }
        catch
        {
            model?.Dispose();
            stored.Dispose();
            throw;
        }
    }

    private async Task<long> BringAsync(StoredModel stored, IReadOnlyCollection<Chunk> chunks, CancellationToken cancellation)
    {
        _used += chunks.Sum(chunk => (long)chunk.Count);
        var missing = await Task.Run(() => stored.Missing(chunks, cancellation), cancellation);
        if (missing.Count == 0)
            return 0;
        var bytes = missing.Sum(chunk => (long)chunk.Count);
        await stored.MakeRoomAsync(bytes, cancellation);
        // The stream may come as soon as the coordinator is told that it is wanted: it must be expected by then.
        var arriving = _stream is null ? supplies.WaitAsync(request, cancellation) : null;
        Tell(_received with { Total = _received.Total + bytes });
        if (arriving is not null)
            _stream = await arriving;
        var transfer = new WeightTransfer(_stream!, worker, request.Stage);
        await transfer.BringAsync(stored, missing, count => Tell(_received with { Bytes = _received.Bytes + count }), cancellation);
        return bytes;
    }

    private void Tell(ReceivedWeights received) => progress(_received = received);
}
