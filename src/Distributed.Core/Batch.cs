namespace Distributed.Core;

/// <summary>The tokens that one sequence has in a batch: contiguous positions of that sequence.</summary>
/// <param name="Sequence">The sequence's number within its pipeline.</param>
/// <param name="Start">Position of the first token. When it lies before the end of what the KV cache holds, the cache is cut back to it.</param>
/// <param name="Count">Tokens; at least one.</param>
/// <param name="Offset">Where the slice begins in the batch, in tokens.</param>
/// <param name="BlockTable">The sequence's blocks on this stage, enough for Start + Count tokens; position p lies in entry p / block length.</param>
public sealed record BatchSlice(long Sequence, int Start, int Count, int Offset, IReadOnlyList<int> BlockTable);

/// <summary>What goes through a stage in one step: tokens of one or many sequences, slice after slice.</summary>
public sealed class Batch
{
    /// <param name="slices">The slices, in order, without gaps.</param>
    /// <param name="tokens">The token ids, [tokens].</param>
    /// <param name="outputs">Indices into the batch of the tokens whose logits are wanted, ascending; empty for none.</param>
    public Batch(IReadOnlyList<BatchSlice> slices, int[] tokens, int[] outputs)
    {
        Slices = slices;
        Tokens = tokens;
        Outputs = outputs;
        Positions = new int[tokens.Length];
        foreach (var slice in slices)
            for (var i = 0; i < slice.Count; i++)
                Positions[slice.Offset + i] = slice.Start + i;
    }

    /// <summary>The slices, in order.</summary>
    public IReadOnlyList<BatchSlice> Slices { get; }

    /// <summary>Token ids, [tokens].</summary>
    public int[] Tokens { get; }

    /// <summary>Position of each token within its sequence, [tokens].</summary>
    public int[] Positions { get; }

    /// <summary>Indices of the tokens whose logits the last stage computes.</summary>
    public int[] Outputs { get; }

    /// <summary>Tokens in the batch.</summary>
    public int Count => Tokens.Length;
}
