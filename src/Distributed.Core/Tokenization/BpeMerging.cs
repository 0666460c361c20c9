namespace Distributed.Core.Tokenization;

/// <summary>
/// Merges words one after the other, in buffers that are kept; a queue of pairs by rank makes the time for a word of n bytes
/// n·log n. Microsoft.ML.Tokenizers is no help here: its time grows with the square of a word's length (minutes for a megabyte of
/// one letter), and in a vocabulary that lacks a byte, as Falcon's does, that byte turns its whole word into one unknown token.
/// </summary>
internal sealed class BpeMerging(BpeMerges merges)
{
    private const int End = -1;

    // Of equal rank the leftmost pair goes first: rank in the high half of the priority, position in the low.
    private readonly PriorityQueue<Pair, long> _queue = new();
    private int[] _token = new int[64];
    private int[] _previous = new int[64];
    private int[] _next = new int[64];

    /// <summary>Appends the tokens of a word; bytes that the vocabulary lacks are left out.</summary>
    /// <param name="word">UTF-8, not empty.</param>
    /// <param name="byteIds">The token of each byte, or <see cref="BpeMerges.NoToken"/>.</param>
    /// <param name="ids">Gets the tokens.</param>
    public void Encode(ReadOnlySpan<byte> word, int[] byteIds, List<int> ids)
    {
        Reserve(word.Length);
        for (var i = 0; i < word.Length; i++)
        {
            _token[i] = byteIds[word[i]];
            _previous[i] = i - 1;
            _next[i] = i + 1 < word.Length ? i + 1 : End;
        }
        for (var i = 0; i < word.Length - 1; i++)
            Offer(i);

        while (_queue.TryDequeue(out var pair, out _))
        {
            // Tokens only grow, so a pair is stale exactly when one of its tokens is another one now.
            var right = _next[pair.At];
            if (_token[pair.At] != pair.Left || right == End || _token[right] != pair.Right)
                continue;
            _token[pair.At] = pair.Merged;
            _token[right] = BpeMerges.NoToken;
            _next[pair.At] = _next[right];
            if (_next[right] != End)
                _previous[_next[right]] = pair.At;
            if (_previous[pair.At] != End)
                Offer(_previous[pair.At]);
            Offer(pair.At);
        }

        for (var i = 0; i != End; i = _next[i])
            if (_token[i] != BpeMerges.NoToken)
                ids.Add(_token[i]);
    }

    private void Offer(int at)
    {
        if (_next[at] != End && merges.TryGet(_token[at], _token[_next[at]], out var merge))
            _queue.Enqueue(new Pair(at, _token[at], _token[_next[at]], merge.Token), ((long)merge.Rank << 32) | (uint)at);
    }

    private void Reserve(int length)
    {
        if (_token.Length >= length)
            return;
        _token = new int[length];
        _previous = new int[length];
        _next = new int[length];
    }

    private readonly record struct Pair(int At, int Left, int Right, int Merged);
}
