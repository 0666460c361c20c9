using Distributed.Core;
using Distributed.Testing;

namespace Distributed.Engine.Tests;

/// <summary>Models of quantised weights against float32 arithmetic on the same weights, dequantised.</summary>
public class QuantizedLogitsTests
{
    [Fact]
    public void F16_weights_give_the_logits_of_exact_arithmetic() => CompareExactly(Golden.Path("quantized/F16.json"));

    [SharedFact]
    public void BF16_weights_give_the_logits_of_exact_arithmetic() => CompareExactly(SharedGolden.Path("quantized/BF16.json"));

    [SharedTheory]
    [InlineData("Q8_0")]
    [InlineData("Q4_0")]
    [InlineData("Q4_K_M")]
    [InlineData("Q6_K")]
    public void Weights_multiplied_with_bytes_are_as_close_as_the_reference(string name)
    {
        // The reference rounds activations too; being twice as far from exact arithmetic as it is would be a fault.
        var golden = GoldenModel.Read(SharedGolden.Path($"quantized/{name}.json"));
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
