namespace Distributed.Coordinator.Planning;

/// <summary>What one step asks of every stage.</summary>
/// <param name="Tokens">Tokens in the step.</param>
/// <param name="Keys">Keys that each of them sees, its own included, on average.</param>
/// <param name="Outputs">Tokens that are drawn behind it.</param>
/// <param name="IsPrefill">The tokens are of one sequence; else each is the next one of a sequence of its own.</param>
internal readonly record struct StepShape(int Tokens, double Keys, int Outputs, bool IsPrefill)
{
    /// <summary>The next token of some sequences.</summary>
    public static StepShape Decode(int sequences, double keys) => new(sequences, keys, sequences, IsPrefill: false);

    /// <summary>A chunk of a prompt that begins at a position.</summary>
    public static StepShape Prefill(int start, int tokens, bool isLast) =>
        new(tokens, start + ((tokens + 1) / 2.0), isLast ? 1 : 0, IsPrefill: true);
}
