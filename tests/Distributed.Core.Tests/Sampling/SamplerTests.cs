using Distributed.Core.Sampling;

namespace Distributed.Core.Tests.Sampling;

public sealed class SamplerTests
{
    private static readonly SamplingOptions Greedy = new() { Temperature = 0 };
    private static readonly SamplingOptions Plain = new() { Temperature = 1, TopK = 0, TopP = 1, MinP = 0, Seed = 7 };

    private readonly Sampler _sampler = new();

    [Fact]
    public void Greedy_takes_the_highest_logit_and_of_equal_ones_the_lowest_id()
    {
        Assert.Equal(2, Draw([0, 1, 5, 5, -3], Greedy));
        Assert.Equal(0, Draw([5, 1, 5], Greedy));
        Assert.Equal(17, Draw([.. Enumerable.Range(0, 40).Select(i => i is 17 or 33 ? 2f : 1f)], Greedy));
    }

    [Fact]
    public void Tokens_are_drawn_as_often_as_the_softmax_says()
    {
        float[] logits = [2, 1, 0, -1, 0.5f];
        CheckShares(logits, Plain, Softmax(logits, 1));
    }

    [Theory]
    [InlineData(0.5f)]
    [InlineData(2f)]
    public void Temperature_divides_the_logits(float temperature)
    {
        float[] logits = [2, 1, 0, -1, 0.5f];
        CheckShares(logits, Plain with { Temperature = temperature }, Softmax(logits, temperature));
    }

    [Fact]
    public void Top_k_keeps_the_k_highest_logits_and_of_equal_ones_the_lowest_ids()
    {
        float[] logits = [1, 3, 1, 2, 1, 0];
        Assert.Equal([1, 3], Drawn(logits, Plain with { TopK = 2 }));
        Assert.Equal([0, 1, 3], Drawn(logits, Plain with { TopK = 3 }));
        Assert.Equal([0, 1, 2, 3, 4, 5], Drawn(logits, Plain with { TopK = 100 }));
        const float Never = float.NegativeInfinity;
        CheckShares(logits, Plain with { TopK = 2 }, Softmax([Never, 3, Never, 2, Never, Never], 1));
    }

    [Fact]
    public void Top_p_keeps_the_fewest_tokens_that_reach_p()
    {
        float[] logits = [.. new[] { 0.1, 0.5, 0.3, 0.1 }.Select(p => (float)Math.Log(p))];
        Assert.Equal([1], Drawn(logits, Plain with { TopP = 0.45f }));
        Assert.Equal([1, 2], Drawn(logits, Plain with { TopP = 0.75f }));
        Assert.Equal([0, 1, 2], Drawn(logits, Plain with { TopP = 0.85f }));
        Assert.Equal([1], Drawn(logits, Plain with { TopP = 1e-6f }));
    }

    [Fact]
    public void Top_p_counts_probabilities_among_what_top_k_left()
    {
        float[] logits = [.. new[] { 0.1, 0.5, 0.3, 0.1 }.Select(p => (float)Math.Log(p))];
        Assert.Equal([1], Drawn(logits, Plain with { TopK = 2, TopP = 0.6f }));
    }

    [Fact]
    public void Min_p_drops_tokens_less_probable_than_a_share_of_the_best()
    {
        float[] logits = [.. new[] { 0.1, 0.5, 0.3, 0.1 }.Select(p => (float)Math.Log(p))];
        Assert.Equal([1, 2], Drawn(logits, Plain with { MinP = 0.5f }));
        Assert.Equal([1], Drawn(logits, Plain with { MinP = 1f }));
        Assert.Equal([0, 1, 2, 3], Drawn(logits, Plain with { MinP = 0.1f }));
    }

    [Fact]
    public void Min_p_comes_before_temperature() =>
        Assert.Equal([1, 2], Drawn([-2.3f, -0.7f, -1.2f, -2.3f], Plain with { MinP = 0.5f, Temperature = 100 }));

    [Fact]
    public void Repeat_penalty_divides_positive_logits_and_multiplies_negative_ones_once_each()
    {
        Assert.Equal(1, Sample([3, 2, -1], Greedy with { RepeatPenalty = 2 }, recent: [0, 0, 0]).Token);
        Assert.Equal(0, Sample([3, 2, -1], Greedy with { RepeatPenalty = 1.4f }, recent: [0, 0, 0]).Token);
        Assert.Equal(1, Sample([-1, -1.5f], Greedy with { RepeatPenalty = 2 }, recent: [0]).Token);
        Assert.Equal(0, Sample([3, 2, -1], Greedy with { RepeatPenalty = 2 }, recent: [0, 1]).Token);
    }

    [Fact]
    public void Recent_tokens_do_nothing_without_a_penalty_and_are_forgotten_after_the_call()
    {
        Assert.Equal(0, Sample([3, 2], Greedy, recent: [0]).Token);
        Assert.Equal(1, Sample([3, 2], Greedy with { RepeatPenalty = 2 }, recent: [0]).Token);
        Assert.Equal(0, Sample([3, 2], Greedy with { RepeatPenalty = 2 }, recent: []).Token);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(2)]
    public void Recent_token_outside_the_vocabulary_is_refused(int id)
    {
        var options = Greedy with { RepeatPenalty = 2 };
        var refusal = Assert.Throws<InvalidInputException>(() => Sample([3, 2], options, recent: [id]));
        Assert.Equal($"{id}", Assert.Single(refusal.Errors).Value);
    }

    [Fact]
    public void Log_probabilities_are_those_of_the_raw_softmax_whatever_the_samplers_do()
    {
        float[] logits = [2, 1, 0, -1, 0.5f];
        var expected = Softmax(logits, 1);
        var drawn = _sampler.Sample(logits, Greedy with { RepeatPenalty = 10 }, [0], 0, topLogProbs: 3);
        Assert.Equal(1, drawn.Token);
        Assert.Equal(Math.Log(expected[1]), drawn.LogProb, 1e-5);
        Assert.Equal([0, 1, 4], drawn.Top.Select(top => top.Token));
        Assert.All(drawn.Top, top => Assert.Equal(Math.Log(expected[top.Token]), top.LogProb, 1e-5));
        Assert.Equal(5, _sampler.Sample(logits, Greedy, [], 0, topLogProbs: 20).Top.Count);
        Assert.Empty(_sampler.Sample(logits, Greedy, [], 0).Top);
    }

    [Fact]
    public void Same_seed_and_position_draw_the_same_token_in_any_order_on_any_instance()
    {
        var logits = Noise(1000);
        var forwards = Enumerable.Range(0, 50).Select(position => Sample(logits, Plain, [], position).Token).ToArray();
        var other = new Sampler();
        var backwards = Enumerable.Range(0, 50).Reverse().Select(position => other.Sample(logits, Plain, [], position).Token).Reverse();
        Assert.Equal(forwards, backwards);
    }

    [Fact]
    public void Positions_and_seeds_draw_independently()
    {
        var logits = new float[1000];
        var tokens = Enumerable.Range(0, 200).Select(position => Sample(logits, Plain, [], position).Token).ToArray();
        var otherSeed = Enumerable.Range(0, 200).Select(position => Sample(logits, Plain with { Seed = 8 }, [], position).Token).ToArray();
        Assert.True(tokens.Distinct().Count() > 150);
        Assert.True(tokens.Zip(otherSeed).Count(pair => pair.First == pair.Second) < 5);
        Assert.True(tokens.Skip(1).Zip(otherSeed).Count(pair => pair.First == pair.Second) < 5);
    }

    [Fact]
    public void Drawn_token_is_one_that_may_be_drawn() =>
        Gen.Select(Gen.Float[-30, 30].Array[1, 60], Gen.Int[0, 70], Gen.Float[0.01f, 1], Gen.Float[0, 1], Gen.ULong).Sample(
            (logits, topK, topP, minP, seed) =>
            {
                var options = new SamplingOptions { Temperature = 0.9f, TopK = topK, TopP = topP, MinP = minP, Seed = seed };
                var token = new Sampler().Sample(logits, options, [], 3).Token;
                var rank = logits.Count(logit => logit > logits[token]);
                return (topK == 0 || rank < topK) && logits[token] >= logits.Max() + Math.Log(minP) - 1e-4;
            });

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Logits_that_are_no_numbers_are_an_error_that_names_the_token(float bad)
    {
        for (var id = 0; id < 37; id++)
        {
            var logits = new float[37];
            logits[id] = bad;
            var error = Assert.Throws<ArithmeticException>(() => Sample(logits, Plain, []));
            Assert.Contains($"token {id} ", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Nothing_to_choose_from_is_an_error()
    {
        Assert.Throws<ArithmeticException>(() => Sample([.. Enumerable.Repeat(float.NegativeInfinity, 20)], Greedy, []));
        Assert.Throws<ArithmeticException>(() => Sample([], Greedy, []));
    }

    [Fact]
    public void Tokens_with_a_logit_of_minus_infinity_are_never_drawn()
    {
        var logits = Enumerable.Repeat(float.NegativeInfinity, 40).ToArray();
        (logits[3], logits[20]) = (0, 0);
        Assert.Equal([3, 20], Drawn(logits, Plain));
    }

    [Fact]
    public void Nothing_that_grows_with_the_vocabulary_is_allocated_after_the_first_call()
    {
        var logits = Noise(150_000);
        var options = new SamplingOptions { RepeatPenalty = 1.1f };
        Sample(logits, options, [5, 6]);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var position = 0; position < 20; position++)
            Sample(logits, options, [5, 6], position);
        // The JIT itself allocates a little on the thread while it improves the code.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, logits.Length);
    }

    private SampledToken Sample(float[] logits, SamplingOptions options, int[] recent, int position = 0) =>
        _sampler.Sample(logits, options, recent, position);

    private int Draw(float[] logits, SamplingOptions options, int position = 0) => Sample(logits, options, [], position).Token;

    /// <summary>The tokens that come up at all in a thousand draws.</summary>
    private IEnumerable<int> Drawn(float[] logits, SamplingOptions options) =>
        Enumerable.Range(0, 1000).Select(position => Draw(logits, options, position)).Distinct().Order();

    /// <summary>Pearson's chi-square over twenty thousand draws; 30 is beyond one in ten thousand for four degrees of freedom.</summary>
    private void CheckShares(float[] logits, SamplingOptions options, double[] expected)
    {
        const int Draws = 20_000;
        var counts = new int[logits.Length];
        for (var position = 0; position < Draws; position++)
            counts[Draw(logits, options, position)]++;
        var chiSquare = 0.0;
        for (var id = 0; id < counts.Length; id++)
        {
            if (expected[id] == 0)
                Assert.Equal(0, counts[id]);
            else
                chiSquare += Math.Pow(counts[id] - (Draws * expected[id]), 2) / (Draws * expected[id]);
        }
        Assert.InRange(chiSquare, 0, 30);
    }

    private static double[] Softmax(float[] logits, double temperature)
    {
        var weights = logits.Select(logit => Math.Exp(logit / temperature)).ToArray();
        return [.. weights.Select(weight => weight / weights.Sum())];
    }

    private static float[] Noise(int count) => [.. Enumerable.Range(0, count).Select(i => (float)(10 * CounterRandom.Uniform(1, i)))];
}
