using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Distributed.Core.Sampling;

namespace Distributed.Cli.Commands;

/// <summary>
/// Scores chunks of a text as llama.cpp does: the first half of a chunk is only there to be seen, each token of the second half but
/// its first is scored by the logits in front of it.
/// </summary>
/// <param name="source">The model.</param>
/// <param name="batch">The most tokens in a step.</param>
/// <param name="threads">Threads that sum up logits; the result does not depend on them.</param>
internal sealed class ChunkScorer(LogitsSource source, int batch, int threads)
{
    private readonly ParallelOptions _options = new() { MaxDegreeOfParallelism = threads };
    private readonly double[] _scores = new double[batch];

    /// <summary>Scores a chunk as a sequence of its own.</summary>
    /// <param name="chunk">Its tokens.</param>
    /// <param name="perplexity">Gets the scores, in the order of the tokens.</param>
    /// <param name="cancellation">Gives up between two steps.</param>
    public async Task ScoreAsync(ReadOnlyMemory<int> chunk, Perplexity perplexity, CancellationToken cancellation)
    {
        var first = chunk.Length / 2;
        await StepsAsync(0, first, wanted: false);
        await StepsAsync(first, chunk.Length - 1, wanted: true);

        async Task StepsAsync(int start, int end, bool wanted)
        {
            for (int at = start, count; at < end; at += count)
            {
                cancellation.ThrowIfCancellationRequested();
                count = Math.Min(batch, end - at);
                var logits = await source.ComputeAsync(at, chunk.Slice(at, count), wanted, cancellation);
                if (wanted)
                    Add(logits, chunk.Slice(at + 1, count), perplexity);
            }
        }
    }

    private void Add(ReadOnlyMemory<byte> logits, ReadOnlyMemory<int> next, Perplexity perplexity)
    {
        var rowBytes = logits.Length / next.Length;
        try
        {
            Parallel.For(0, next.Length, _options, row => _scores[row] = Perplexity.NegativeLogLikelihood(
                MemoryMarshal.Cast<byte, float>(logits.Span.Slice(row * rowBytes, rowBytes)), next.Span[row]));
        }
        catch (AggregateException error)
        {
            ExceptionDispatchInfo.Throw(error.InnerExceptions[0]);
        }

        foreach (var score in _scores.AsSpan(0, next.Length))
            perplexity.Add(score);
    }
}
