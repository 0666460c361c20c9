using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Grpc.Core;

namespace Distributed.Worker;

public sealed partial class StageServiceEndpoint
{
    /// <inheritdoc/>
    public override async Task ReadKv(ReadKvRequest request, IServerStreamWriter<KvChunk> responseStream, ServerCallContext context)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        try
        {
            await foreach (var chunk in new KvMigration(options, stages).ReadAsync(request, ending.Token))
                await responseStream.WriteAsync(chunk, ending.Token).WaitAsync(options.WatchLease, ending.Token);
        }
        catch (TimeoutException error)
        {
            var told = $"who reads the KV cache has taken nothing of what is sent for {options.WatchLease.TotalSeconds:0.#} s";
            context.GetHttpContext().Abort();
            throw new StageFailureException(FailureCode.SlowReader, told, options.Name, request.Stage, error).ToRpc();
        }
        catch (StageFailureException error)
        {
            throw error.ToRpc();
        }
    }

    /// <inheritdoc/>
    public override async Task<MoveKvReply> MoveKv(MoveKvRequest request, ServerCallContext context)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        try
        {
            return new MoveKvReply { Bytes = await new KvMigration(options, stages).TakeOverAsync(request, ending.Token) };
        }
        catch (StageFailureException error)
        {
            throw error.ToRpc();
        }
    }
}
