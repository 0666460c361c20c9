using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Testing;
using Distributed.Testing.Ops;

namespace Distributed.Gpu.Tests;

/// <summary>What shares a launch, or bytes that another operation made, has the bits of what is done by itself.</summary>
public abstract class FusedTests : OpTests
{
    private const int Columns = 256;

    [Theory]
    [InlineData("Q4_0", 1)]
    [InlineData("Q6_K", 1)]
    [InlineData("Q5_K", 3)]
    public void Matrices_of_one_input_have_the_bits_of_each_alone(string name, int tokens)
    {
        using var backend = CreateBackends().Single();
        backend.Reserve(tokens, Columns);
        var type = QuantTypes.ByName(name);
        // Four of a kind, of which three go together at most, and one that is not multiplied as bytes.
        int[] rows = [24, 9, 13, 5, 7];
        var weights = rows.Select((count, i) => backend.Load(TestTensors.Random(i == 3 ? F32.Type : type, count, Columns, i))).ToArray();
        var norm = new Norm(backend.Load(TestTensors.Of(Normal(Columns, 1), Columns)), 1e-5f);
        using var input = Upload(backend, Normal(tokens * Columns, 2), Columns);

        foreach (var normed in new[] { norm, null })
        {
            var together = Multiply(normed, weights);
            Assert.Equal(together, weights.SelectMany(weight => Multiply(normed, [weight])));
            Assert.All(together, value => Assert.True(float.IsFinite(value) && value != 0));
        }

        float[] Multiply(Norm? norm, Weight[] weights)
        {
            Activations[] outputs = [.. weights.Select(weight => backend.Allocate(tokens, weight.Rows))];
            backend.NormMatMul(input, tokens, norm, weights, outputs);
            return [.. outputs.SelectMany(output => Download(backend, output, tokens))];
        }
    }

    [Theory]
    [InlineData(Activation.Silu, true)]
    [InlineData(Activation.Gelu, false)]
    [InlineData(Activation.ClampedSwish, true)]
    public void Activated_values_have_the_same_bits_with_and_without_bytes(Activation activation, bool hasUp)
    {
        using var plain = CreateBackends().Single();
        using var backend = CreateBackends().Single();
        Load(backend);
        Assert.Equal(Activated(plain), Activated(backend));

        float[] Activated(Backend on)
        {
            on.Reserve(3, Columns);
            using var gate = Upload(on, Normal(3 * Columns, 3), Columns);
            using var up = Upload(on, Normal(3 * Columns, 4), Columns);
            on.Activate(activation, gate, hasUp ? up : null, 3);
            return Download(on, gate, 3);
        }
    }

    [Theory]
    [InlineData("nothing")]
    [InlineData("bias")]
    [InlineData("another product")]
    [InlineData("fewer rows")]
    public void Bytes_of_an_activation_are_used_only_while_they_are_its_own(string between)
    {
        const int Tokens = 3;
        using var backend = CreateBackends().Single();
        backend.Reserve(Tokens, Columns);
        var weight = Load(backend);
        var bias = backend.Load(TestTensors.Of(Normal(Columns, 5), Columns));
        using var gate = Upload(backend, Normal(Tokens * Columns, 3), Columns);
        using var other = Upload(backend, Normal(Tokens * Columns, 4), Columns);
        using var result = backend.Allocate(Tokens, weight.Rows);
        var rows = between == "fewer rows" ? 1 : Tokens;

        backend.Activate(Activation.Silu, gate, null, Tokens);
        if (between == "bias")
            backend.AddBias(gate, Tokens, bias);
        else if (between == "another product")
            backend.NormMatMul(other, Tokens, null, [weight], [result]);
        var actual = Multiply(gate);

        using var copy = Upload(backend, Download(backend, gate, Tokens), Columns);
        Assert.Equal(Multiply(copy), actual);

        float[] Multiply(Activations input)
        {
            using var sum = backend.Allocate(Tokens, weight.Rows);
            backend.MatMulAdd(input, rows, weight, sum);
            return Download(backend, sum, rows);
        }
    }

    private static Weight Load(Backend backend) => backend.Load(TestTensors.Random(Q8_0.Type, 11, Columns, 6));
}
