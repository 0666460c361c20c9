namespace Distributed.Core;

/// <summary>The tokens that one sequence has in a batch: contiguous positions of that sequence.</summary>
/// <param name="Sequence">The sequence's number within its pipeline.</param>
/// <param name="Start">Position of the first token. When it lies before the end of what the KV cache holds, the cache is cut back to it.</param>
/// <param name="Count">Tokens; at least one.</param>
/// <param name="Offset">Where the slice begins in the batch, in tokens.</param>
/// <param name="BlockTable">The sequence's blocks on this stage, enough for Start + Count tokens; position p lies in entry p / block length.</param>
public readonly record struct BatchSlice(long Sequence, int Start, int Count, int Offset, IReadOnlyList<int> BlockTable);

/// <summary>
/// What goes through a stage in one step: tokens of one or many sequences, slice after slice. One object serves all steps of a
/// stage, so that a step makes no garbage.
/// </summary>
/// <param name="maxTokens">The most tokens in a step.</param>
public sealed class Batch(int maxTokens)
{
    private readonly int[] _tokens = new int[maxTokens];
    private readonly int[] _positions = new int[maxTokens];
    private readonly int[] _outputs = new int[maxTokens];
    private int _outputCount;

    /// <summary>The slices, in order, without gaps. Filled by whoever calls <see cref="Set"/>, before the call.</summary>
    public List<BatchSlice> Slices { get; } = [];

    /// <summary>Token ids, [tokens].</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Count);

    /// <summary>Position of each token within its sequence, [tokens].</summary>
    public ReadOnlySpan<int> Positions => _positions.AsSpan(0, Count);

    /// <summary>Indices of the tokens whose logits the last stage computes, ascending.</summary>
    public ReadOnlySpan<int> Outputs => _outputs.AsSpan(0, _outputCount);

    /// <summary>Tokens in the batch.</summary>
    public int Count { get; private set; }

    /// <summary>How many steps have been set: a device that has copied a step's positions and tables knows by it when they change.</summary>
    public long Step { get; private set; }

    /// <summary>Sets the tokens of the next step.</summary>
    /// <param name="tokens">The token ids, as many as the slices have together.</param>
    /// <param name="outputs">Indices into the batch of the tokens whose logits are wanted, ascending; empty for none.</param>
    /// <exception cref="ArgumentException">There are more than the batch has room for.</exception>
    public void Set(ReadOnlySpan<int> tokens, ReadOnlySpan<int> outputs)
    {
        tokens.CopyTo(_tokens);
        outputs.CopyTo(_outputs);
        (Count, _outputCount) = (tokens.Length, outputs.Length);
        Step++;
        foreach (var slice in Slices)
            for (var i = 0; i < slice.Count; i++)
                _positions[slice.Offset + i] = slice.Start + i;
    }
}
