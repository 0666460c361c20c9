using Distributed.Core;
using Distributed.Testing;

namespace Distributed.Engine.Tests;

public class GoldenLogitsTests
{
    private const float Tolerance = 1e-4f;

    public static TheoryData<string> Models => ["llama", "llama31-tied", "llama-linear"];

    [Theory, MemberData(nameof(Models))]
    public void Logits_equal_the_reference_in_one_batch(string name) => Compare(name, int.MaxValue);

    [Theory, MemberData(nameof(Models))]
    public void Logits_equal_the_reference_token_by_token(string name) => Compare(name, 1);

    private static void Compare(string name, int chunk)
    {
        var golden = GoldenModel.Read(Golden.Path($"architectures/{name}.json"));
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
