using Distributed.Testing;

namespace Distributed.Engine.Tests;

public class GoldenLogitsTests
{
    private const float Tolerance = 1e-4f;

    public static TheoryData<string> Models =>
        ["llama", "llama31-tied", "llama-linear", "qwen2", "qwen3moe", "phi3", "gemma2", "gpt-oss"];

    public static TheoryData<string> ComputedModels =>
        [.. Directory.EnumerateFiles(Golden.Path("formulas"), "*.json").Order().Select(path => Path.GetFileNameWithoutExtension(path))];

    public static TheoryData<string> SharedModels =>
        [.. SharedGolden.Files("architectures", "*.json").Select(path => Path.GetFileNameWithoutExtension(path)).DefaultIfEmpty("absent")];

    [Theory, MemberData(nameof(Models))]
    public void Logits_equal_the_reference_in_one_batch(string name) =>
        Compare(Golden.Path($"architectures/{name}.json"), int.MaxValue);

    [Theory, MemberData(nameof(Models))]
    public void Logits_equal_the_reference_token_by_token(string name) =>
        Compare(Golden.Path($"architectures/{name}.json"), 1);

    [Theory, MemberData(nameof(ComputedModels))]
    public void Logits_equal_what_the_formulas_of_an_architecture_give(string name)
    {
        Compare(Golden.Path($"formulas/{name}.json"), int.MaxValue);
        Compare(Golden.Path($"formulas/{name}.json"), 3);
    }

    [SharedTheory, MemberData(nameof(SharedModels))]
    public void Logits_of_every_reference_model_are_equal_in_one_batch_and_in_chunks(string name)
    {
        Compare(SharedGolden.Path($"architectures/{name}.json"), int.MaxValue);
        Compare(SharedGolden.Path($"architectures/{name}.json"), 3);
        Compare(SharedGolden.Path($"architectures/{name}.json"), 1);
    }

    private static void Compare(string path, int chunk)
    {
        var golden = GoldenModel.Read(path);
        foreach (var prompt in golden.Prompts)
        {
            using var runner = new StageRunner(golden.Path, kvType: KvType.F32);
            var logits = runner.RunInChunks(prompt.Ids, chunk);
            Assert.Equal(prompt.Logits.Length, logits.Length);
            for (var i = 0; i < logits.Length; i++)
                Assert.InRange(logits[i] - prompt.Logits[i], -Tolerance, Tolerance);
        }
    }
}
