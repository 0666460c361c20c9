using System.Buffers.Binary;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Worker.Weights;

/// <summary>Asks for chunks over a stream and keeps those that arrive as they were sent; the others it asks for again.</summary>
/// <param name="stream">The stream.</param>
/// <param name="worker">This worker, for failures.</param>
/// <param name="stage">The stage, for failures.</param>
internal sealed class WeightTransfer(WeightSupplyStream stream, string worker, int stage)
{
    // Few enough that they take little memory, enough that the line is never idle.
    private const int InFlight = 8;
    private const int MaxAttempts = 4;

    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Brings chunks into the store.</summary>
    /// <param name="model">Where they go; it has made room for them.</param>
    /// <param name="chunks">Which.</param>
    /// <param name="arrived">Told the bytes of each chunk that has been stored.</param>
    /// <param name="cancellation">Gives up; what has arrived stays.</param>
    /// <exception cref="StageFailureException">The stream broke, or brings wrong bytes again and again.</exception>
    /// <exception cref="IOException">The store cannot be written.</exception>
    public async Task BringAsync(StoredModel model, IReadOnlyList<Chunk> chunks, Action<int> arrived, CancellationToken cancellation)
    {
        var waiting = new Queue<Chunk>(chunks);
        var asked = new Queue<Chunk>();
        var attempts = new Dictionary<Chunk, int>();
        while (waiting.Count + asked.Count > 0)
        {
            while (asked.Count < InFlight && waiting.TryDequeue(out var next))
            {
                await AskAsync(next, cancellation);
                asked.Enqueue(next);
            }

            var chunk = asked.Dequeue();
            var answer = await ReadAsync(chunk, cancellation);
            var checksum = WeightChunks.Checksum(answer.Data.Span);
            if (checksum == BinaryPrimitives.ReadUInt128BigEndian(answer.Checksum.Span))
            {
                model.Write(chunk, answer.Data.Span, checksum);
                arrived(chunk.Count);
                continue;
            }

            attempts[chunk] = attempts.GetValueOrDefault(chunk) + 1;
            if (attempts[chunk] == MaxAttempts)
                throw Fail(
                    FailureCode.WeightsCorrupt,
                    $"{chunk.Count} bytes at {chunk.Offset} of part {chunk.Part} arrived with a wrong checksum {MaxAttempts} times");
            waiting.Enqueue(chunk);
        }
    }

    private async Task AskAsync(Chunk chunk, CancellationToken cancellation)
    {
        var request = new WeightRequest { Part = chunk.Part, Offset = chunk.Offset, Count = chunk.Count };
        await WithinAsync(async patience =>
        {
            await stream.Requests.WriteAsync(request, patience);
            return true;
        }, cancellation);
    }

    private async Task<WeightChunk> ReadAsync(Chunk chunk, CancellationToken cancellation)
    {
        if (!await WithinAsync(stream.Answers.MoveNext, cancellation))
            throw Fail(FailureCode.WeightsUnavailable, "the stream of weights ended early");
        var supply = stream.Answers.Current;
        if (supply.Failure is { } failure)
            throw Fail(failure.Code, $"{failure.Worker}: {failure.Message}");
        if (supply.Chunk is not { } answer || answer.Part != chunk.Part || answer.Offset != chunk.Offset || answer.Data.Length != chunk.Count
            || answer.Checksum.Length != WeightChunks.ChecksumBytes)
            throw Fail(
                FailureCode.BadFrame,
                $"{chunk.Count} bytes at {chunk.Offset} of part {chunk.Part} were asked for, with a checksum; something else came");
        return answer;
    }

    private async Task<T> WithinAsync<T>(Func<CancellationToken, Task<T>> act, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(AnswerTimeout);
        try
        {
            return await act(patience.Token);
        }
        catch (Exception error) when (
            error is IOException or InvalidOperationException or OperationCanceledException && !cancellation.IsCancellationRequested)
        {
            var what = patience.IsCancellationRequested ? $"brings nothing within {AnswerTimeout.TotalSeconds} s" : $"broke: {error.Message}";
            throw Fail(FailureCode.WeightsUnavailable, $"the stream of weights {what}", error);
        }
    }

    private StageFailureException Fail(FailureCode code, string message, Exception? inner = null) => new(code, message, worker, stage, inner);
}
