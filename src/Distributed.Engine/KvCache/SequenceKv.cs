namespace Distributed.Engine.KvCache;

/// <summary>What a sequence holds of a stage's KV cache.</summary>
/// <param name="Sequence">The sequence's number.</param>
/// <param name="Tokens">Tokens whose keys and values are held.</param>
/// <param name="Blocks">Blocks they take.</param>
/// <param name="Bytes">Bytes of these blocks, over all layers of the stage.</param>
/// <param name="SharedBlocks">How many of the blocks other sequences hold too.</param>
public readonly record struct SequenceKv(long Sequence, int Tokens, int Blocks, long Bytes, int SharedBlocks = 0);

/// <summary>The tokens of one sequence in a step.</summary>
/// <param name="Sequence">The sequence's number.</param>
/// <param name="Start">Position of the first token; before the end of what is cached cuts the cache back to it.</param>
/// <param name="Count">Tokens; at least one.</param>
public readonly record struct SequenceSlice(long Sequence, int Start, int Count);
