namespace Distributed.Core.Tokenization;

/// <summary>Tokens whose meaning model files leave to their names, as llama.cpp reads them.</summary>
internal static class KnownTokens
{
    private static readonly HashSet<string> Ends =
    [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>",
        "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<｜end▁of▁sentence｜>",
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",
        "<|file_sep|>",
    ];

    private static readonly HashSet<string> FillInTheMiddle =
    [
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
    ];

    /// <summary>The types of the tokens; some files have control tokens as text, which a user could then type.</summary>
    public static TokenType[] CorrectTypes(Vocabulary vocabulary)
    {
        var types = new TokenType[vocabulary.Tokens.Count];
        for (var id = 0; id < types.Length; id++)
        {
            var token = vocabulary.Tokens[id];
            types[id] = Ends.Contains(token) || FillInTheMiddle.Contains(token) ? TokenType.Control
                : vocabulary.Types.Count > 0 ? vocabulary.Types[id]
                : TokenType.Normal;
        }
        return types;
    }

    /// <summary>The tokens at which generation stops.</summary>
    public static HashSet<int> EndOfGeneration(Vocabulary vocabulary, Dictionary<string, int> ids, int? eosId)
    {
        var ends = new HashSet<int>();
        foreach (var name in Ends)
            if (ids.TryGetValue(name, out var id))
                ends.Add(id);

        // In these vocabularies <|end|> ends a message; the turn goes on.
        var endsMessages = (ids.ContainsKey("<|return|>") && ids.ContainsKey("<|call|>"))
            || (ids.ContainsKey("<|flush|>") && ids.ContainsKey("<|calls|>"));
        if (endsMessages && ids.TryGetValue("<|end|>", out var end))
            ends.Remove(end);

        foreach (var id in new[] { eosId, vocabulary.EotId, vocabulary.EomId })
            if (id is { } known)
                ends.Add(known);
        ends.UnionWith(vocabulary.EndIds);
        return ends;
    }
}
