namespace Distributed.Core.Tokenization;

/// <summary>Text to token ids and back, as a model file's metadata describes it.</summary>
public abstract class Tokenizer
{
    /// <summary>Tokens in the vocabulary.</summary>
    public abstract int VocabSize { get; }

    /// <summary>The beginning-of-sequence token; null where the model has none.</summary>
    public abstract int? BosId { get; }

    /// <summary>The end-of-sequence token; null where the model has none.</summary>
    public abstract int? EosId { get; }

    /// <summary>Whether the model wants <see cref="BosId"/> in front of a prompt.</summary>
    public abstract bool AddsBos { get; }

    /// <summary>Whether the model wants <see cref="EosId"/> behind a text.</summary>
    public abstract bool AddsEos { get; }

    /// <summary>Ids of <paramref name="text"/>.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="special">Read special tokens such as <c>&lt;|im_start|&gt;</c> in the text as such; otherwise they are plain text.</param>
    /// <param name="addBosEos">Add what the model adds (<see cref="AddsBos"/>, <see cref="AddsEos"/>).</param>
    public abstract int[] Encode(string text, bool special = false, bool addBosEos = false);

    /// <summary>The bytes a token stands for in running text; special tokens give their name as UTF-8.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such token.</exception>
    public abstract ReadOnlyMemory<byte> TokenBytes(int id);

    /// <summary>The pieces of the ids joined, as UTF-8 text; bytes that are no UTF-8 become U+FFFD.</summary>
    public abstract string Decode(IEnumerable<int> ids);

    /// <summary>Whether generation stops at this token (end of sequence, end of turn).</summary>
    public abstract bool IsEndOfGeneration(int id);

    /// <summary>The id of a token by its exact name, e.g. <c>&lt;|im_end|&gt;</c>; null when there is none.</summary>
    public abstract int? FindSpecial(string name);
}
