namespace Distributed.Cli.Bench;

/// <summary>What is timed.</summary>
internal enum TestKind
{
    /// <summary>Many tokens of one sequence, in chunks.</summary>
    Prefill,

    /// <summary>One token after the other, of one or several sequences side by side.</summary>
    Decode,
}

/// <summary>One thing to time.</summary>
/// <param name="Kind">What.</param>
/// <param name="Tokens">Tokens of each sequence.</param>
/// <param name="Depth">Tokens that each sequence holds already.</param>
/// <param name="Sequences">Sequences side by side.</param>
internal sealed record BenchTest(TestKind Kind, int Tokens, int Depth, int Sequences)
{
    /// <summary>Tokens of all sequences together.</summary>
    public int AllTokens => Tokens * Sequences;

    /// <summary>E.g. <c>decode 32 at 512, 8 sequences</c>.</summary>
    public override string ToString() =>
        $"{Kind.ToString().ToLowerInvariant()} {Tokens}{(Depth > 0 ? $" at {Depth}" : "")}{(Sequences > 1 ? $", {Sequences} sequences" : "")}";

    /// <summary>All tests asked for, prefill first.</summary>
    /// <param name="prefill">Lengths of prompts; 0 stands for none.</param>
    /// <param name="decode">Lengths of answers; 0 stands for none.</param>
    /// <param name="depths">Tokens there already.</param>
    /// <param name="sequences">Sequences decoded side by side. Prefill takes one: its tokens are many as they are.</param>
    public static IReadOnlyList<BenchTest> All(int[] prefill, int[] decode, int[] depths, int[] sequences) =>
    [
        .. from depth in depths
           from tokens in prefill
           where tokens > 0
           select new BenchTest(TestKind.Prefill, tokens, depth, 1),
        .. from depth in depths
           from tokens in decode
           where tokens > 0
           from count in sequences
           select new BenchTest(TestKind.Decode, tokens, depth, count),
    ];
}
