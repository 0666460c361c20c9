using Distributed.Testing;

namespace Distributed.Engine.Tests;

/// <summary>Models of quantised weights against float32 arithmetic on the same weights, dequantised.</summary>
public class QuantizedLogitsTests
{
    [Fact]
    public void F16_weights_give_the_logits_of_exact_arithmetic() => CompareExactly(Golden.Path("quantized/F16.json"));

    [SharedFact]
    public void BF16_weights_give_the_logits_of_exact_arithmetic() => CompareExactly(SharedGolden.Path("quantized/BF16.json"));

    [Theory]
    [InlineData("Q4_0")]
    [InlineData("Q4_K_M")]
    public void Weights_multiplied_with_bytes_are_as_close_as_the_reference(string name) =>
        CompareClosely(Golden.Path($"quantized/{name}.json"));

    [SharedTheory]
    [InlineData("Q8_0")]
    [InlineData("Q6_K")]
    [InlineData("Q2_K")]
    [InlineData("Q3_K_M")]
    [InlineData("Q5_K_M")]
    [InlineData("MXFP4")]
    [InlineData("Q4_1")]
    [InlineData("Q5_0")]
    [InlineData("Q5_1")]
    [InlineData("IQ4_NL")]
    [InlineData("IQ4_XS")]
    public void Weights_of_other_types_are_as_close_as_the_reference(string name) =>
        CompareClosely(SharedGolden.Path($"quantized/{name}.json"));

    private static void CompareClosely(string json)
    {
        // The reference rounds activations too; being twice as far from exact arithmetic as it is would be a fault.
        var golden = GoldenModel.Read(json);
        var squares = Differences(golden).Select(difference => difference * difference).ToArray();
        Assert.InRange(Math.Sqrt(squares.Average()), 0, 2 * golden.RmsToExact);
    }

    private static void CompareExactly(string json) =>
        Assert.All(Differences(GoldenModel.Read(json)), difference => Assert.InRange(difference, -1e-3, 1e-3));

    private static IEnumerable<double> Differences(GoldenModel golden)
    {
        foreach (var prompt in golden.Prompts)
        {
            using var runner = new StageRunner(golden.Path, kvType: KvType.F32);
            var logits = runner.RunInChunks(prompt.Ids, prompt.Ids.Length);
            Assert.Equal(prompt.Logits.Length, logits.Length);
            for (var i = 0; i < logits.Length; i++)
                yield return (double)logits[i] - prompt.Logits[i];
        }
    }
}
