using System.Buffers;
using System.Buffers.Binary;
using System.IO.Hashing;
using Distributed.Cluster.Protocol;

namespace Distributed.Cluster;

/// <summary>
/// Checksums of what passes between stages: XXH3, 64 bits, over all that decides which tokens come out. TCP's own sum lets one in
/// some ten thousand damaged packets through, and a wrong hidden state looks like any other.
/// </summary>
public static class FrameChecksum
{
    /// <summary>The checksum of a step.</summary>
    /// <param name="step">The step.</param>
    /// <param name="hidden">Its hidden states as they cross the wire.</param>
    public static ulong Of(Step step, ReadOnlySpan<byte> hidden)
    {
        var words = new Words((4 + step.Slices.Count * 12) + step.Slices.Sum(slice => slice.Sampling?.Recent.Count ?? 0) + step.Tokens.Count);
        words.Add(step.Epoch);
        words.Add(step.Step_);
        words.Add(step.Slices.Count);
        foreach (var slice in step.Slices)
        {
            words.Add(slice.Sequence);
            words.Add(((long)slice.Start << 32) | (uint)slice.Count);
            words.Add((slice.AllLogits ? 1 : 0) | (slice.Sampling is null ? 0 : 2));
            if (slice.Sampling is not { } sampling)
                continue;
            words.Add(((long)BitConverter.SingleToInt32Bits(sampling.Temperature) << 32) | (uint)sampling.TopK);
            words.Add(((long)BitConverter.SingleToInt32Bits(sampling.TopP) << 32) | BitConverter.SingleToUInt32Bits(sampling.MinP));
            words.Add(((long)BitConverter.SingleToInt32Bits(sampling.RepeatPenalty) << 32) | (uint)sampling.TopLogProbs);
            words.Add((long)sampling.Seed);
            words.Add(sampling.Recent.Count);
            foreach (var token in sampling.Recent)
                words.Add(token);
        }

        foreach (var token in step.Tokens)
            words.Add(token);
        return words.Hash(hidden);
    }

    /// <summary>The checksum of a release.</summary>
    public static ulong Of(Release release)
    {
        var words = new Words(2 + release.Sequences.Count + (release.Forks.Count * 3));
        words.Add(release.Epoch);
        words.Add(release.Sequences.Count);
        foreach (var sequence in release.Sequences)
            words.Add(sequence);
        foreach (var fork in release.Forks)
        {
            words.Add(fork.Sequence);
            words.Add(fork.From);
            words.Add(fork.Tokens);
        }

        return words.Hash([]);
    }

    /// <summary>The checksum of a result.</summary>
    public static ulong Of(StepResult result)
    {
        var words = new Words(2 + result.Tokens.Sum(token => 3 + token.Top.Count));
        words.Add(result.Step);
        words.Add((long)(result.Failure?.Code ?? 0));
        foreach (var token in result.Tokens)
        {
            words.Add(token.Sequence);
            words.Add(((long)token.Token << 32) | BitConverter.SingleToUInt32Bits(token.LogProb));
            words.Add(token.Top.Count);
            foreach (var top in token.Top)
                words.Add(((long)top.Token << 32) | BitConverter.SingleToUInt32Bits(top.LogProb));
        }

        return words.Hash(result.Logits.Span);
    }

    /// <summary>The checksum of a part of a KV cache.</summary>
    public static ulong Of(KvChunk chunk)
    {
        var words = new Words(4);
        words.Add(chunk.Sequence);
        words.Add(chunk.Layer);
        words.Add(chunk.FirstBlock);
        words.Add(chunk.Blocks);
        return words.Hash(chunk.Data.Span);
    }

    // Numbers in a pooled buffer, in the order in which they are added.
    private struct Words(int most)
    {
        private readonly byte[] _bytes = ArrayPool<byte>.Shared.Rent(most * sizeof(long));
        private int _length;

        public void Add(long word)
        {
            BinaryPrimitives.WriteInt64LittleEndian(_bytes.AsSpan(_length), word);
            _length += sizeof(long);
        }

        public readonly ulong Hash(ReadOnlySpan<byte> rest)
        {
            var hash = XxHash3.HashToUInt64(_bytes.AsSpan(0, _length), unchecked((long)XxHash3.HashToUInt64(rest)));
            ArrayPool<byte>.Shared.Return(_bytes);
            return hash;
        }
    }
}
