using System.Runtime.CompilerServices;
using Distributed.Cluster;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Engine.KvCache;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Worker;

/// <summary>
/// The KV cache of running sequences on its way from the stages that had some layers to the one that takes them over, while no step is
/// under way there. Blocks are copied as they lie, so the tokens that follow are those of a cache that was never moved.
/// </summary>
/// <param name="options">The worker's options.</param>
/// <param name="stages">Its stages.</param>
internal sealed class KvMigration(WorkerOptions options, LoadedStages stages)
{
    // Large enough for the wire, small enough that a stage's thread is soon free for the next step.
    private const int ChunkBytes = 1 << 20;
    private const int MostSequences = 1 << 12;
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Reads what a stage holds, chunk by chunk.</summary>
    /// <exception cref="StageFailureException">The stage is not there, does not hold that, or has it in another layout.</exception>
    public async IAsyncEnumerable<KvChunk> ReadAsync(
        ReadKvRequest request, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var runner = stages.Find(request.Pipeline, request.Stage);
        runner.Identity.CheckEpoch(request.Epoch, "the reader");
        var blockBytes = await AskAsync(runner, (stage, held) =>
        {
            if (stage.KvLayout is null || stage.KvLayout != request.Layout)
                throw new InvalidInputException("layout", request.Layout, $"must be {stage.KvLayout ?? "another device's: this one hands nothing out"}");
            foreach (var wanted in request.Sequences)
            {
                if (wanted.Tokens < 1 || wanted.Tokens > held.Of(wanted.Sequence).Length)
                    throw new InvalidInputException(
                        "tokens", $"{wanted.Tokens}", $"must lie between 1 and the {held.Of(wanted.Sequence).Length} of sequence {wanted.Sequence}");
            }

            return stage.LayerBlockBytes;
        }, cancellation);
        foreach (var chunk in Chunks(request, blockBytes))
        {
            var bytes = new byte[chunk.Blocks * blockBytes];
            await AskAsync(runner, (stage, _) =>
            {
                stage.ReadKv(chunk.Sequence, chunk.Layer, chunk.FirstBlock, bytes);
                return 0;
            }, cancellation);
            chunk.Data = UnsafeByteOperations.UnsafeWrap(bytes);
            chunk.Checksum = FrameChecksum.Of(chunk);
            yield return chunk;
        }
    }

    /// <summary>Takes the KV cache of sequences over; bytes.</summary>
    /// <exception cref="StageFailureException">It does not come, or there is no room for it; the stage is as it was.</exception>
    public async Task<long> TakeOverAsync(MoveKvRequest request, CancellationToken cancellation)
    {
        var runner = stages.Find(request.Pipeline, request.Stage);
        runner.Identity.CheckEpoch(request.Epoch, "the coordinator");
        await runner.FollowAsync(request.Term, "the coordinator");
        var (layout, blockBytes) = await AskAsync(runner, (stage, _) =>
        {
            if (stage.KvLayout is not { } own)
                throw new InvalidInputException("device", null, "must be one whose stages hand the blocks of their KV cache to each other");
            if (request.Sequences.Count is < 1 or > MostSequences)
                throw new InvalidInputException("sequences", $"{request.Sequences.Count}", $"must be 1 to {MostSequences}");
            var end = request.Sources.Aggregate(stage.Spec.FirstLayer, (next, source) => next >= 0 && source.FirstLayer == next && source.EndLayer > next ? source.EndLayer : -1);
            if (end != stage.Spec.EndLayer)
                throw new InvalidInputException("sources", $"{request.Sources}", $"must have layers {stage.Spec.FirstLayer} to {stage.Spec.EndLayer - 1} in order");
            stage.MakeRoom([.. request.Sequences.Select(moved => new SequenceSlice(moved.Sequence, 0, moved.TokenIds.Count))]);
            return (own, stage.LayerBlockBytes);
        }, cancellation);
        try
        {
            var bytes = 0L;
            foreach (var source in request.Sources)
                bytes += await TakeAsync(runner, source, request, layout, blockBytes, cancellation);
            await AskAsync(runner, (_, held) =>
            {
                foreach (var moved in request.Sequences)
                {
                    held.Cut(moved.Sequence, 0);
                    held.Append(moved.Sequence, moved.TokenIds);
                }

                return 0;
            }, cancellation);
            return bytes;
        }
        catch
        {
            // Not with the caller's patience, which may be what has ended.
            Task released = AskAsync(runner, (stage, _) => request.Sequences.Count(moved => stage.KvCache.Release(moved.Sequence)), CancellationToken.None);
            await released.WaitAsync(ConnectTimeout, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
    }

    private async Task<long> TakeAsync(
        StageRunner runner, KvSource source, MoveKvRequest request, string layout, int blockBytes, CancellationToken cancellation)
    {
        var wanted = new ReadKvRequest
        {
            Pipeline = source.Pipeline,
            Epoch = source.Epoch,
            Stage = source.Stage,
            FirstLayer = source.FirstLayer,
            EndLayer = source.EndLayer,
            Layout = layout,
            Sequences = { request.Sequences.Select(moved => new KvLength { Sequence = moved.Sequence, Tokens = moved.TokenIds.Count }) },
        };
        if (source.Address is "")
            return await FillAsync(runner, ReadAsync(wanted, cancellation), wanted, blockBytes, cancellation);
        var address = NodeAddress.TryParse(source.Address)
            ?? throw runner.Identity.Fail(FailureCode.BadFrame, $"a source is at {source.Address}, must be HOST:PORT or unix:PATH");
        if (options.WhyNotDialed(address, source.Worker) is { } reason)
            throw runner.Identity.Fail(FailureCode.NotTrusted, reason);
        using var channel = NodeChannel.Open(
            address, ConnectTimeout, LinkShape.Parse("link", source.Link), options.Certificates is { } own ? new NodePeer(own, source.Worker) : null);
        try
        {
            using var call = new StageService.StageServiceClient(channel).ReadKv(wanted, cancellationToken: cancellation);
            return await FillAsync(runner, call.ResponseStream.ReadAllAsync(cancellation), wanted, blockBytes, cancellation);
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            throw StageFailureException.From(error, FailureCode.HopLost, source.Worker, source.Stage);
        }
    }

    private static async Task<long> FillAsync(
        StageRunner runner, IAsyncEnumerable<KvChunk> chunks, ReadKvRequest wanted, int blockBytes, CancellationToken cancellation)
    {
        var bytes = 0L;
        using var expected = Chunks(wanted, blockBytes).GetEnumerator();
        await foreach (var chunk in chunks.WithCancellation(cancellation))
        {
            if (!expected.MoveNext() || (chunk.Sequence, chunk.Layer, chunk.FirstBlock, chunk.Blocks) is var came
                && came != (expected.Current.Sequence, expected.Current.Layer, expected.Current.FirstBlock, expected.Current.Blocks)
                || chunk.Data.Length != chunk.Blocks * blockBytes)
                throw runner.Identity.Fail(FailureCode.BadFrame, "blocks of the KV cache came that are not those asked for");
            if (chunk.Checksum != FrameChecksum.Of(chunk))
                throw runner.Identity.Fail(FailureCode.FrameCorrupt, $"blocks of sequence {chunk.Sequence} arrived with another checksum than they were sent with");
            await AskAsync(runner, (stage, _) =>
            {
                stage.WriteKv(chunk.Sequence, chunk.Layer, chunk.FirstBlock, chunk.Data.Span);
                return 0;
            }, cancellation);
            bytes += chunk.Data.Length;
        }

        if (expected.MoveNext())
            throw runner.Identity.Fail(FailureCode.HopLost, $"blocks of sequence {expected.Current.Sequence} did not come");
        return bytes;
    }

    // The order in which they are sent, and expected.
    private static IEnumerable<KvChunk> Chunks(ReadKvRequest request, int blockBytes)
    {
        var most = Math.Max(1, ChunkBytes / blockBytes);
        foreach (var wanted in request.Sequences)
        {
            var blocks = StageSpec.BlocksFor(wanted.Tokens);
            for (var layer = request.FirstLayer; layer < request.EndLayer; layer++)
                for (var first = 0; first < blocks; first += most)
                    yield return new KvChunk { Sequence = wanted.Sequence, Layer = layer, FirstBlock = first, Blocks = Math.Min(most, blocks - first) };
        }
    }

    private static async Task<T> AskAsync<T>(StageRunner runner, Func<Engine.Stage, HeldTokens, T> action, CancellationToken cancellation)
    {
        try
        {
            return await runner.BetweenStepsAsync(action, cancellation);
        }
        catch (InvalidInputException error)
        {
            throw runner.Identity.Fail(FailureCode.BadFrame, error.Message, error);
        }
        catch (KvFullException error)
        {
            throw runner.Identity.Fail(FailureCode.KvFull, error.Message, error);
        }
    }
}
