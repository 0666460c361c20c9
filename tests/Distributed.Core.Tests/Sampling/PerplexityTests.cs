using Distributed.Core.Sampling;

namespace Distributed.Core.Tests.Sampling;

public class PerplexityTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(1000)]
    public void Equal_logits_are_as_many_choices_as_there_are_tokens(int vocabulary)
    {
        var perplexity = new Perplexity();
        for (var token = 0; token < 5; token++)
            perplexity.Add(Perplexity.NegativeLogLikelihood(new float[vocabulary], token % vocabulary));

        Assert.Equal(5, perplexity.Tokens);
        Assert.Equal(vocabulary, perplexity.Value, 1e-9 * vocabulary);
        Assert.Equal(0, perplexity.StandardError, 1e-6 * vocabulary);
    }

    [Fact]
    public void Logits_are_summed_in_double_precision()
    {
        var random = new Random(5);
        // Far from zero, where the exponentials of single logits overflow, and no multiple of any vector.
        float[] logits = [.. Enumerable.Range(0, 30_011).Select(_ => (float)(1000 + (random.NextDouble() * 40)))];
        var sum = logits.Sum(logit => Math.Exp((double)logit - 1040));

        foreach (var token in (int[])[0, 17, 30_010])
        {
            var expected = Math.Log(sum) + 1040 - logits[token];
            Assert.Equal(expected, Perplexity.NegativeLogLikelihood(logits, token), 1e-12 * expected);
        }
    }

    [Fact]
    public void Standard_error_comes_from_the_variance_of_the_scores()
    {
        var perplexity = new Perplexity();
        Assert.True(double.IsNaN(perplexity.Value));
        foreach (var score in (double[])[1, 2, 3, 6])
            perplexity.Add(score);

        Assert.Equal(Math.Exp(3), perplexity.Value, 1e-12);
        // The mean of the squares is 12.5, that of the scores 3.
        Assert.Equal(Math.Exp(3) * Math.Sqrt((12.5 - 9) / 3), perplexity.StandardError, 1e-12);
    }

    [Fact]
    public void Token_that_cannot_be_makes_it_infinite()
    {
        var perplexity = new Perplexity();
        perplexity.Add(Perplexity.NegativeLogLikelihood([0, float.NegativeInfinity, 1], 1));

        Assert.Equal(double.PositiveInfinity, perplexity.Value);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Logit_that_is_no_number_is_told_with_its_token(float logit)
    {
        var error = Assert.Throws<ArithmeticException>(() => Perplexity.NegativeLogLikelihood([0, 1, logit], 0));

        Assert.Contains("token 2", error.Message, StringComparison.Ordinal);
    }
}
