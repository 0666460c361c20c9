using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace Distributed.Worker.Weights;

/// <summary>
/// Finds the model that a stage is to load: the worker's own copy where its hash is right, else what its store has and the
/// coordinator sends.
/// </summary>
/// <param name="store">The store.</param>
/// <param name="supplies">Where the coordinator's streams arrive.</param>
/// <param name="logger">Told why an own copy is not used.</param>
public sealed partial class ModelCopies(WeightStore store, PendingSupplies supplies, ILogger logger)
{
    // Stages of one model have tensors in common: the second one finds what the first one was sent.
    private readonly KeyedTurns<ByteString> _receiving = new();

    /// <summary>Where the coordinator's streams arrive.</summary>
    public PendingSupplies Supplies { get; } = supplies;

    /// <summary>Opens a model whose weights, as far as the stage uses them, are on this machine.</summary>
    /// <param name="request">The stage.</param>
    /// <param name="worker">This worker, for failures.</param>
    /// <param name="plan">
    /// Makes the stage of the opened model, before its weights are brought: what does not fit is refused here. May be called twice.
    /// </param>
    /// <param name="progress">Told what is received.</param>
    /// <param name="cancellation">Gives up; what has been received stays in the store.</param>
    /// <exception cref="StageFailureException">There is no copy, and none comes.</exception>
    /// <exception cref="InvalidInputException">What came is no model that runs.</exception>
    public async Task<ModelCopy> OpenAsync(
        LoadRequest request, string worker, Func<ModelFile, StageSpec> plan, Action<ReceivedWeights> progress, CancellationToken cancellation)
    {
        if (TryOpenOwn(request, out var failure) is { } own)
        {
            var copy = new ModelCopy(own, null, 0);
            try
            {
                plan(own);
                return copy;
            }
            catch
            {
                copy.Dispose();
                throw;
            }
        }

        if (request.Model is null)
            throw new StageFailureException(failure.Code, failure.Message, worker, request.Stage);
        OutlineRules.Check(request, worker);
        if (File.Exists(request.ModelPath) || Directory.Exists(request.ModelPath))
            LogNotUsed(logger, failure.Message);
        using var turn = await _receiving.TakeAsync(request.ModelHash, cancellation);
        var receiving = new WeightReceiver(store, Supplies, request, worker, progress);
        try
        {
            return await receiving.ReceiveAsync(plan, cancellation);
        }
        catch (StoreFullException error)
        {
            throw new StageFailureException(FailureCode.StoreFailed, error.Message, worker, request.Stage, error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new StageFailureException(
                FailureCode.StoreFailed,
                $"weights cannot be kept in {store.Folder}: {error.Message}; name another folder (--data), or give this worker its own copy of the model",
                worker,
                request.Stage,
                error);
        }
    }

    private static ModelFile? TryOpenOwn(LoadRequest request, out (FailureCode Code, string Message) failure)
    {
        failure = default;
        ModelFile? model = null;
        try
        {
            model = ModelFile.Open(request.ModelPath);
            if (request.ModelHash.Span.SequenceEqual(model.Hash))
                return model;
            failure = (
                FailureCode.ModelMismatch,
                $"{request.ModelPath} is model {Convert.ToHexStringLower(model.Hash)}, the coordinator has {Convert.ToHexStringLower(request.ModelHash.Span)}");
        }
        catch (Exception error) when (error is InvalidInputException or IOException or UnauthorizedAccessException)
        {
            failure = (FailureCode.ModelUnreadable, error.Message);
        }

        model?.Dispose();
        return null;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "this worker's own copy of the model is not used: {Reason}")]
    private static partial void LogNotUsed(ILogger logger, string reason);
}

/// <summary>A model on this machine, whose weights are here as far as one stage uses them.</summary>
/// <param name="model">The model; it ends with this.</param>
/// <param name="stored">What the store has of it; null for a file of the worker's own. It ends with this.</param>
/// <param name="bytesReceived">Bytes of weights that came over the wire for the stage.</param>
public sealed class ModelCopy(ModelFile model, StoredModel? stored, long bytesReceived) : IDisposable
{
    /// <summary>The model.</summary>
    public ModelFile Model { get; } = model;

    /// <summary>Bytes of weights that came over the wire for the stage.</summary>
    public long BytesReceived { get; } = bytesReceived;

    /// <inheritdoc/>
    public void Dispose()
    {
        Model.Dispose();
        stored?.Dispose();
    }
}
