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
/// The KV cache of running sequences on its way from the stages that had some layers to the one that takes them over. Blocks are copied
/// between the steps of the stage that has them, as they lie, so the tokens that follow are those of a cache that was never moved.
/// </summary>
/// <param name="options">The worker's options.</param>
/// <param name="stages">Its stages.</param>
internal sealed class KvMigration(WorkerOptions options, LoadedStages stages)
{
    // Large enough for the wire, small enough that the stage is soon free for the next step.
    private const int ChunkBytes = 1 << 20;
    private const int MostSequences = 1 << 12;
    private const int MostPatienceMs = 60_000;
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
                throw new InvalidInputException("layout", request.Layout, $"must be {stage.KvLayout ?? "another device's: this one gives nothing"}");
            CheckCount(request.Sequences.Count);
            foreach (var wanted in request.Sequences)
            {
                var count = held.Count(wanted.Sequence);
                if (wanted.Tokens < 1 || wanted.Tokens > count)
                    throw new InvalidInputException("tokens", $"{wanted.Tokens}", $"must lie between 1 and the {count} of sequence {wanted.Sequence}");
            }

            return stage.LayerBlockBytes;
        }, cancellation);
        foreach (var chunk in Chunks(request, blockBytes))
        {
            var bytes = new byte[chunk.Blocks * blockBytes];
            await AskAsync(runner, (stage, held) =>
            {
                if (held.Count(chunk.Sequence) < request.Sequences.First(wanted => wanted.Sequence == chunk.Sequence).Tokens)
                    throw new InvalidInputException("sequence", $"{chunk.Sequence}", "must not be cut back while it is read");
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
        var most = request.PatienceMs is > 0 and < MostPatienceMs ? request.PatienceMs : MostPatienceMs;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(most);
        try
        {
            return await TakeOverCoreAsync(request, patience.Token);
        }
        catch (OperationCanceledException error) when (!cancellation.IsCancellationRequested)
        {
            throw new StageFailureException(
                FailureCode.HopLost, $"the KV cache did not come within {most} ms", options.Name, request.Stage, error);
        }
    }

    private async Task<long> TakeOverCoreAsync(MoveKvRequest request, CancellationToken cancellation)
    {
        var runner = stages.Find(request.Pipeline, request.Stage);
        runner.Identity.CheckEpoch(request.Epoch, "the coordinator");
        await runner.FollowAsync(request.Term, "the coordinator");
        var isMade = false;
        try
        {
            var (layout, blockBytes) = await AskAsync(runner, MakeRoom, cancellation);
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
        catch when (Volatile.Read(ref isMade))
        {
            // Not with the caller's patience, which may be what has ended. What a step has written meanwhile is not this one's.
            Task released = AskAsync(
                runner, (stage, held) => request.Sequences.Count(moved => held.Count(moved.Sequence) == 0 && stage.KvCache.Release(moved.Sequence)),
                CancellationToken.None);
            await released.WaitAsync(ConnectTimeout, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }

        (string Layout, int BlockBytes) MakeRoom(Engine.Stage stage, HeldTokens held)
        {
            if (stage.KvLayout is not { } own)
                throw new InvalidInputException("device", null, "must be one whose stages hand the blocks of their KV cache to each other");
            CheckCount(request.Sequences.Count);
            var layer = stage.Spec.FirstLayer;
            foreach (var source in request.Sources)
            {
                _ = LinkShape.Parse("link", source.Link);
                layer = source.FirstLayer == layer && source.EndLayer > layer ? source.EndLayer : int.MaxValue;
            }

            if (layer != stage.Spec.EndLayer)
            {
                throw new InvalidInputException(
                    "sources", $"{request.Sources.Count}", $"must have layers {stage.Spec.FirstLayer} to {stage.Spec.EndLayer - 1} in order");
            }

            stage.MakeRoom([.. request.Sequences.Select(moved => new SequenceSlice(moved.Sequence, 0, moved.TokenIds.Count))]);
            Volatile.Write(ref isMade, true);
            return (own, stage.LayerBlockBytes);
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
        var peer = options.Certificates is { } own ? new NodePeer(own, source.Worker) : null;
        using var channel = NodeChannel.Open(address, ConnectTimeout, LinkShape.Parse("link", source.Link), peer);
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
            if (!expected.MoveNext() || !AreOf(expected.Current, chunk) || chunk.Data.Length != chunk.Blocks * blockBytes)
                throw runner.Identity.Fail(FailureCode.BadFrame, "blocks of the KV cache came that are not those asked for");
            if (chunk.Checksum != FrameChecksum.Of(chunk))
            {
                throw runner.Identity.Fail(
                    FailureCode.FrameCorrupt, $"blocks of sequence {chunk.Sequence} arrived with another checksum than they were sent with");
            }

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

    private static bool AreOf(KvChunk expected, KvChunk chunk) =>
        (expected.Sequence, expected.Layer, expected.FirstBlock, expected.Blocks) == (chunk.Sequence, chunk.Layer, chunk.FirstBlock, chunk.Blocks);

    // The order in which they are sent, and expected.
    private static IEnumerable<KvChunk> Chunks(ReadKvRequest request, int blockBytes)
    {
        var most = Math.Max(1, ChunkBytes / blockBytes);
        foreach (var wanted in request.Sequences)
        {
            var blocks = StageSpec.BlocksFor(wanted.Tokens);
            for (var layer = request.FirstLayer; layer < request.EndLayer; layer++)
            {
                for (var first = 0; first < blocks; first += most)
                {
                    var count = Math.Min(most, blocks - first);
                    yield return new KvChunk { Sequence = wanted.Sequence, Layer = layer, FirstBlock = first, Blocks = count };
                }
            }
        }
    }

    private static void CheckCount(int sequences)
    {
        if (sequences is < 1 or > MostSequences)
            throw new InvalidInputException("sequences", $"{sequences}", $"must be 1 to {MostSequences}");
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
