using System.Buffers.Binary;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Coordinator.Weights;

/// <summary>
/// Hands out the bytes of a model's files to workers that have not got them. The files are read, not mapped: one that is cut off
/// meanwhile must be an error, not the end of the process.
/// </summary>
/// <param name="model">The model.</param>
internal sealed class WeightSource(ModelFile model) : IDisposable
{
    private readonly IReadOnlyList<ModelPart> _files = model.Source.Files;
    private readonly SafeFileHandle?[] _handles = new SafeFileHandle?[model.Source.Files.Count];
    private long _bytesSent;

    /// <summary>What workers need to know to ask; null where the model lies in no files.</summary>
    public ModelOutline? Outline { get; } = WeightChunks.OutlineOf(model.Source);

    /// <summary>Bytes handed out so far.</summary>
    public long BytesSent => Interlocked.Read(ref _bytesSent);

    /// <summary>Answers what a loading stage asks for, until it has all.</summary>
    /// <param name="client">The worker.</param>
    /// <param name="request">What it loads.</param>
    /// <param name="cancellation">Ends the stream.</param>
    /// <exception cref="RpcException">The stream broke, or the worker asked for what there is not.</exception>
    public async Task SupplyAsync(StageService.StageServiceClient client, LoadRequest request, CancellationToken cancellation)
    {
        using var call = client.SupplyWeights(cancellationToken: cancellation);
        var hello = new SupplyHello
        {
            ProtocolVersion = ProtocolVersion.Current,
            Pipeline = request.Pipeline,
            Epoch = request.Epoch,
            Stage = request.Stage,
            ModelHash = request.ModelHash,
        };
        await call.RequestStream.SendAsync(new WeightSupply { Hello = hello }, cancellation);
        // One chunk at a time is under way from here, so one buffer serves them all.
        var buffer = Array.Empty<byte>();
        await foreach (var wanted in call.ResponseStream.ReadAllAsync(cancellation))
        {
            if (!IsWithin(wanted))
                throw new RpcException(new Status(StatusCode.InvalidArgument, $"part {wanted.Part} has no {wanted.Count} bytes at {wanted.Offset}"));
            if (buffer.Length < wanted.Count)
                buffer = new byte[Math.Max(wanted.Count, WeightChunks.Bytes)];
            await call.RequestStream.SendAsync(Answer(wanted, buffer.AsMemory(0, wanted.Count)), cancellation);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var handle in _handles)
            handle?.Dispose();
    }

    private bool IsWithin(WeightRequest wanted) =>
        wanted.Part >= 0 && wanted.Part < _files.Count
        && wanted.Count is > 0 and <= WeightChunks.MaxBytes
        && wanted.Offset >= 0 && wanted.Offset <= _files[wanted.Part].Length - wanted.Count;

    private WeightSupply Answer(WeightRequest wanted, Memory<byte> buffer)
    {
        try
        {
            Read(wanted, buffer.Span);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            var failure = new StageFailureException(
                FailureCode.ModelUnreadable, $"cannot read {_files[wanted.Part].Path}: {error.Message}", "coordinator");
            return new WeightSupply { Failure = failure.Failure };
        }

        Interlocked.Add(ref _bytesSent, wanted.Count);
        var checksum = new byte[WeightChunks.ChecksumBytes];
        BinaryPrimitives.WriteUInt128BigEndian(checksum, WeightChunks.Checksum(buffer.Span));
        return new WeightSupply
        {
            Chunk = new WeightChunk
            {
                Part = wanted.Part,
                Offset = wanted.Offset,
                Data = UnsafeByteOperations.UnsafeWrap(buffer),
                Checksum = UnsafeByteOperations.UnsafeWrap(checksum),
            },
        };
    }

    private void Read(WeightRequest wanted, Span<byte> target)
    {
        var handle = Open(wanted.Part);
        for (var done = 0; done < target.Length;)
        {
            var read = RandomAccess.Read(handle, target[done..], wanted.Offset + done);
            if (read == 0)
                throw new IOException($"it ends at byte {wanted.Offset + done}, but had {_files[wanted.Part].Length} bytes when it was opened");
            done += read;
        }
    }

    private SafeFileHandle Open(int part)
    {
        lock (_handles)
        {
            return _handles[part] ??= File.OpenHandle(_files[part].Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        }
    }
}
