namespace Distributed.Coordinator.Scheduling;

/// <summary>What the next batch is formed from, beside the prompts.</summary>
/// <param name="Stages">Stages of the pipeline.</param>
/// <param name="MaxTokens">The most tokens in a step.</param>
/// <param name="Groups">In how many batches the decoding sequences are to be on their way, 1 to <paramref name="Stages"/>.</param>
/// <param name="InFlight">Steps on their way.</param>
/// <param name="Step">Steps sent so far.</param>
/// <param name="Decoding">Sequences whose prompt is sent to its end and that go on.</param>
/// <param name="Ready">How many of these have their next token drawn and not on its way.</param>
internal readonly record struct BatchState(int Stages, int MaxTokens, int Groups, int InFlight, long Step, int Decoding, int Ready);

/// <summary>A prompt that is not sent to its end.</summary>
/// <param name="Waiting">Tokens that are not sent, at least 1.</param>
/// <param name="Length">All tokens that have to be computed for it.</param>
internal readonly record struct PromptDemand(int Waiting, int Length);

/// <summary>
/// The rule by which tokens become batches. Stages are kept full by sending the right number of batches, and no more: a batch that
/// would only wait in front of stage 0 is better formed later, when more sequences are ready to share it.
/// <list type="bullet">
/// <item>Decode alone: as many batches as <see cref="StageBalance"/> says, each with its share of the sequences. A stage reads its
/// weights once a batch, whatever its size, so with G batches of N sequences over S equal stages all sequences advance by a token in
/// max(G·t(N/G), S·t(N/G) + hops), where t is a stage's time for a batch. Fewer than S leave stages idle; more than S read weights
/// again without a shorter round. A batch that comes back takes along all who wait, up to its share, so that groups of unequal size
/// even out: neither one convoy nor single tokens last.</item>
/// <item>Prompts alone: one step per stage and one that waits, which hides the way to stage 0. Chunks are small enough that filling
/// and draining the stages costs little (<see cref="ChunkFor"/>).</item>
/// <item>Both: one step per stage. All tokens ready for decode go first, the rest of the step is for prompts. None waits in
/// front of stage 0, so a sequence that decodes is in every step of its own turn: between two of its tokens lie at most the
/// S - 1 steps on the other stages, all together as long as one chunk takes. A quarter of the step is for prompts in any case.</item>
/// </list>
/// </summary>
internal static class BatchFormation
{
    // C chunks take S stages the time of C + S - 1 on one stage: with 8 S chunks filling and draining costs 6 % for two stages.
    private const int ChunksPerStage = 8;

    // Smaller chunks lose more in the kernels than full stages gain: chunks of 128 tokens run at 95 % of the speed of 256, those
    // of 64 at 84 % (llama-1b, Q4_0, one thread).
    private const int MinChunk = 128;

    /// <summary>Forms the next batch.</summary>
    /// <param name="state">The state of things.</param>
    /// <param name="prompts">Prompts in the order of their turns.</param>
    /// <param name="chunks">Gets how many tokens of each prompt go; as long as <paramref name="prompts"/>.</param>
    /// <returns>How many of those ready for decode go, the longest waiting first; 0 without any chunk when nothing is to be sent now.</returns>
    public static int Form(in BatchState state, ReadOnlySpan<PromptDemand> prompts, Span<int> chunks)
    {
        chunks.Clear();
        if (state.InFlight >= Limit(state, prompts.Length > 0))
            return 0;
        if (prompts.IsEmpty)
            return Math.Min(Math.Min(state.Ready, state.MaxTokens), (state.Decoding + state.Groups - 1) / state.Groups);

        var left = state.MaxTokens - Math.Min(state.Ready, state.MaxTokens - ReservedForPrompts(state));
        var decode = state.MaxTokens - left;
        for (var i = 0; i < prompts.Length && left > 0; i++)
        {
            chunks[i] = Math.Min(Math.Min(prompts[i].Waiting, left), ChunkFor(prompts[i].Length, state.Stages, state.MaxTokens));
            left -= chunks[i];
        }

        return decode;
    }

    /// <summary>The most tokens of a prompt in a step.</summary>
    /// <param name="length">Tokens of the prompt that have to be computed.</param>
    /// <param name="stages">Stages of the pipeline; a single one is full with any chunk.</param>
    /// <param name="maxTokens">The most tokens in a step.</param>
    public static int ChunkFor(int length, int stages, int maxTokens)
    {
        if (stages == 1)
            return maxTokens;
        var chunks = ChunksPerStage * stages;
        return Math.Min(maxTokens, Math.Max(MinChunk, (length + chunks - 1) / chunks));
    }

    private static int Limit(in BatchState state, bool prompts) => (prompts, state.Decoding) switch
    {
        (false, _) => state.Groups,
        (true, 0) => state.Stages + 1,
        (true, _) => state.Stages,
    };

    // However many sequences decode, prompts go on; where a step is a single token, every other one is theirs.
    private static int ReservedForPrompts(in BatchState state) =>
        state.MaxTokens == 1 ? (int)(state.Step & 1) : Math.Max(1, state.MaxTokens / 4);
}
