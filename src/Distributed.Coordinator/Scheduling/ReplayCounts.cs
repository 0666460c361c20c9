namespace Distributed.Coordinator.Scheduling;

/// <summary>What it took until sequences could go on on other stages.</summary>
/// <param name="Sequences">How many went on.</param>
/// <param name="Tokens">Their tokens whose keys and values were computed again.</param>
/// <param name="Kept">Those whose keys and values the stages had already.</param>
internal readonly record struct ReplayCounts(int Sequences, int Tokens, int Kept);
