using Distributed.Testing;

namespace Distributed.Gpu.Tests;

/// <summary>Whole models on a device, against reference logits; a subclass for each device.</summary>
public abstract class DeviceLogitsTests
{
    private const float Tolerance = 1e-4f;

    protected abstract Backend CreateBackend();

    public static TheoryData<string> Models => Names("architectures");

    public static TheoryData<string> ComputedModels => Names("formulas");

    public static TheoryData<string> SharedModels =>
    [
        .. SharedGolden.Files("architectures", "*.json").Select(path => Path.GetFileNameWithoutExtension(path))
            .Except(Directory.EnumerateFiles(Golden.Path("architectures"), "*.json").Select(path => Path.GetFileNameWithoutExtension(path)))
            .DefaultIfEmpty("absent"),
    ];

    [Theory, MemberData(nameof(Models))]
    public void Logits_equal_the_reference(string name) => Compare(Golden.Path($"architectures/{name}.json"));

    [Theory, MemberData(nameof(ComputedModels))]
    public void Logits_equal_what_the_formulas_of_an_architecture_give(string name) => Compare(Golden.Path($"formulas/{name}.json"));

    [SharedTheory, MemberData(nameof(SharedModels))]
    public void Logits_of_every_reference_model_equal_the_reference(string name) =>
        Compare(SharedGolden.Path($"architectures/{name}.json"));

    [Theory]
    [InlineData("Q4_0")]
    [InlineData("Q4_K_M")]
    [InlineData("F16")]
    public void Quantised_models_are_as_close_to_exact_arithmetic_as_the_reference(string name)
    {
        var golden = GoldenModel.Read(Golden.Path($"quantized/{name}.json"));
        var squares = new List<double>();
        foreach (var prompt in golden.Prompts)
        {
            using var runner = new StageRunner(golden.Path, KvType.F32, [CreateBackend()]);
            var logits = runner.RunInChunks(prompt.Ids, prompt.Ids.Length);
            squares.AddRange(logits.Zip(prompt.Logits, (actual, expected) => Math.Pow((double)actual - expected, 2)));
        }
        Assert.InRange(Math.Sqrt(squares.Average()), 0, Math.Max(2 * golden.RmsToExact, 1e-3));
    }

    [Theory]
    [InlineData("architectures/gemma2", KvType.F32)]
    [InlineData("architectures/qwen3moe", KvType.Q8_0)]
    [InlineData("quantized/Q4_0", KvType.F16)]
    [InlineData("quantized/Q4_K_M", KvType.F16)]
    public void A_token_has_the_same_bits_in_any_batch_and_any_split(string name, KvType kvType)
    {
        var golden = GoldenModel.Read(Golden.Path($"{name}.json"));
        var ids = golden.Prompts[^1].Ids[..6];
        var other = golden.Prompts[0].Ids[..3];
        using var one = new StageRunner(golden.Path, kvType, [CreateBackend()]);
        using var two = new StageRunner(golden.Path, kvType, [CreateBackend(), CreateBackend()]);
        var expected = one.RunInChunks(ids, ids.Length);
        Assert.Equal(expected, two.RunInChunks(ids, 3, 1));
        two.Run((7, 0, other));
        Assert.Equal(expected, two.Run((8, 0, ids), (7, 1, other[1..]))[..expected.Length]);
    }

    [Fact]
    public void Layers_may_be_split_between_the_device_and_the_processor()
    {
        var golden = GoldenModel.Read(Golden.Path("architectures/gemma2.json"));
        foreach (var deviceFirst in new[] { true, false })
        {
            Backend[] backends = [CreateBackend(), new CpuBackend(1)];
            using var runner = new StageRunner(golden.Path, KvType.F32, deviceFirst ? backends : [.. backends.Reverse()]);
            AssertNear(golden.Prompts[^1].Logits, runner.RunInChunks(golden.Prompts[^1].Ids, 4, 1));
        }
    }

    private void Compare(string path)
    {
        var golden = GoldenModel.Read(path);
        var prompt = golden.Prompts[^1];
        using var runner = new StageRunner(golden.Path, KvType.F32, [CreateBackend()]);
        AssertNear(prompt.Logits, runner.RunInChunks(prompt.Ids, Math.Max(1, prompt.Ids.Length - 3), 1));
    }

    private static void AssertNear(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.InRange(actual[i] - expected[i], -Tolerance, Tolerance);
    }

    private static TheoryData<string> Names(string folder) =>
        [.. Directory.EnumerateFiles(Golden.Path(folder), "*.json").Order().Select(path => Path.GetFileNameWithoutExtension(path))];
}
