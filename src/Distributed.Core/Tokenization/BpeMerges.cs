namespace Distributed.Core.Tokenization;

/// <summary>Which pairs of neighbouring tokens become one, and in what order.</summary>
internal sealed class BpeMerges
{
    /// <summary>Stands where a byte has no token.</summary>
    public const int NoToken = -1;

    private readonly Dictionary<(int Left, int Right), Merge> _merges;

    /// <param name="vocabulary">Whose merges they are.</param>
    /// <param name="ids">Its tokens.</param>
    /// <exception cref="InvalidInputException">A merge is no pair of tokens that make up a token.</exception>
    public BpeMerges(Vocabulary vocabulary, Dictionary<string, int> ids)
    {
        var merges = vocabulary.Merges;
        _merges = new Dictionary<(int, int), Merge>(merges.Count);
        var tokens = ids.GetAlternateLookup<ReadOnlySpan<char>>();
        for (var rank = 0; rank < merges.Count; rank++)
        {
            var merge = merges[rank];
            var space = merge.IndexOf(' ', StringComparison.Ordinal);
            if (space <= 0 || space == merge.Length - 1)
                throw Malformed(vocabulary, rank, "must be two tokens with a space between them");
            if (!tokens.TryGetValue(merge.AsSpan(0, space), out var left)
                || !tokens.TryGetValue(merge.AsSpan(space + 1), out var right)
                || !ids.TryGetValue(merge.Remove(space, 1), out var merged))
                throw Malformed(vocabulary, rank, "must be two tokens of the vocabulary that together are a third");
            _merges.TryAdd((left, right), new Merge(rank, merged));
        }
    }

    /// <summary>Whether the two become one.</summary>
    public bool TryGet(int left, int right, out Merge merge) => _merges.TryGetValue((left, right), out merge);

    private static InvalidInputException Malformed(Vocabulary vocabulary, int rank, string rule) =>
        new($"tokenizer.ggml.merges[{rank}]", vocabulary.Merges[rank], rule, vocabulary.Source);

    /// <param name="Rank">Its place in the list; the lowest is merged first.</param>
    /// <param name="Token">What the two become.</param>
    public readonly record struct Merge(int Rank, int Token);
}
