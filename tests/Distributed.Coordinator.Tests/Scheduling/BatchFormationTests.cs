using CsCheck;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Coordinator.Tests.Scheduling;

public sealed class BatchFormationTests
{
    private static readonly Gen<(BatchState State, PromptDemand[] Prompts)> Any =
        from stages in Gen.Int[1, 8]
        from maxTokens in Gen.OneOf(Gen.Int[1, 8], Gen.Int[9, 512])
        from groups in Gen.Int[1, stages]
        from inFlight in Gen.Int[0, stages + 1]
        from step in Gen.Long[0, 1000]
        from decoding in Gen.Int[0, 600]
        from ready in Gen.Int[0, decoding]
        from prompts in Gen.Select(Gen.Int[1, 5000], Gen.Int[0, 5000], (waiting, sent) => new PromptDemand(waiting, waiting + sent)).Array[0, 6]
        select (new BatchState(stages, maxTokens, groups, inFlight, step, decoding, ready), prompts);

    [Fact]
    public void A_batch_holds_what_there_is_and_no_more_than_fits_and_goes_when_it_may() =>
        Any.Sample(
            input =>
            {
                var (state, prompts) = input;
                var chunks = new int[prompts.Length];
                Array.Fill(chunks, -1);
                var decode = BatchFormation.Form(state, prompts, chunks);

                Assert.InRange(decode, 0, state.Ready);
                Assert.All(prompts.Zip(chunks), pair => Assert.InRange(pair.Second, 0, pair.First.Waiting));
                Assert.InRange(decode + chunks.Sum(), 0, state.MaxTokens);
                var limit = prompts.Length == 0 ? state.Groups : state.Decoding == 0 ? state.Stages + 1 : state.Stages;
                if (state.InFlight >= limit)
                    Assert.Equal(0, decode + chunks.Sum());
                else if (prompts.Length > 0 || state.Ready > 0)
                    Assert.NotEqual(0, decode + chunks.Sum());
            },
            iter: 20_000);

    [Fact]
    public void Neither_prompts_nor_those_who_decode_are_left_out_of_two_batches_in_a_row() =>
        Any.Where(input => input.Prompts.Length > 0 && input.State.Ready > 0 && input.State.InFlight < input.State.Stages).Sample(
            input =>
            {
                var (state, prompts) = input;
                var chunks = new int[prompts.Length];
                var decode = BatchFormation.Form(state, prompts, chunks);
                var prompt = chunks[0];
                decode += BatchFormation.Form(state with { Step = state.Step + 1 }, prompts, chunks);

                Assert.NotEqual(0, decode);
                Assert.NotEqual(0, prompt + chunks[0]);
            },
            iter: 20_000);

    [Fact]
    public void Decode_alone_is_split_into_as_many_batches_as_there_are_groups()
    {
        Assert.Equal([3, 3, 2], Sizes(decoding: 8, groups: 3));
        Assert.Equal([8], Sizes(decoding: 8, groups: 1));
        Assert.Equal([1, 1], Sizes(decoding: 2, groups: 3));

        static IEnumerable<int> Sizes(int decoding, int groups)
        {
            for (int inFlight = 0, ready = decoding, sent; ; ready -= sent, inFlight++)
            {
                var state = new BatchState(4, 256, groups, inFlight, 0, decoding, ready);
                sent = BatchFormation.Form(state, [], []);
                if (sent == 0)
                    yield break;
                yield return sent;
            }
        }
    }

    [Fact]
    public void A_long_prompt_gets_what_decode_leaves_of_a_step()
    {
        var chunks = new int[1];
        var decode = BatchFormation.Form(new BatchState(1, 256, 1, 0, 0, 10, 10), [new PromptDemand(4000, 4000)], chunks);

        Assert.Equal((10, 246), (decode, chunks[0]));
    }

    [Fact]
    public void With_more_sequences_than_a_step_holds_a_quarter_of_it_is_for_prompts()
    {
        var chunks = new int[1];
        var decode = BatchFormation.Form(new BatchState(1, 16, 1, 0, 0, 100, 100), [new PromptDemand(50, 50)], chunks);

        Assert.Equal((12, 4), (decode, chunks[0]));
    }

    [Theory]
    [InlineData(2048, 1, 256, 256)]
    [InlineData(2048, 2, 512, 128)]
    [InlineData(4096, 2, 256, 256)]
    [InlineData(300, 2, 256, 128)]
    [InlineData(300, 2, 32, 32)]
    public void Chunks_are_small_enough_to_fill_the_stages_and_large_enough_for_the_kernels(int length, int stages, int maxTokens, int chunk) =>
        Assert.Equal(chunk, BatchFormation.ChunkFor(length, stages, maxTokens));
}
