using Distributed.Testing;

namespace Distributed.Engine.Tests;

/// <summary>The same tokens give the same bits, however they are batched, split or computed.</summary>
public class ExactnessTests
{
    private static readonly int[] Tokens = [.. Enumerable.Range(0, 57).Select(i => 1 + (i * 37 % 47))];

    public static TheoryData<string, KvType> Models => new()
    {
        { "sample", KvType.F16 },
        { "sample", KvType.Q8_0 },
        { "sample", KvType.F32 },
        { "llama", KvType.F32 },
        { "llama31-tied", KvType.F16 },
        { "llama-linear", KvType.F32 },
        { "qwen2", KvType.F16 },
        { "qwen3moe", KvType.F32 },
        { "phi3", KvType.F32 },
        { "gemma2", KvType.Q8_0 },
        { "gpt-oss", KvType.F16 },
        { "Q4_K_M", KvType.F16 },
        { "stablelm-parallel", KvType.F32 },
        { "olmo3", KvType.F16 },
    };

    [Theory, MemberData(nameof(Models))]
    public void One_token_at_a_time_gives_the_bits_of_one_batch(string model, KvType kv) =>
        AssertSame(Whole(model, kv), Chunks(model, kv, 1));

    [Theory, MemberData(nameof(Models))]
    public void Odd_chunks_give_the_bits_of_one_batch(string model, KvType kv)
    {
        var whole = Whole(model, kv);
        AssertSame(whole, Chunks(model, kv, 7));
        AssertSame(whole, Chunks(model, kv, 31, 2, 5, 1, 13));
    }

    [Theory, MemberData(nameof(Models))]
    public void Three_stages_give_the_bits_of_one(string model, KvType kv)
    {
        using var runner = new StageRunner(Path(model), stages: 3, kvType: kv);
        AssertSame(Whole(model, kv), runner.RunInChunks(Tokens, 20, 1));
    }

    [Theory, MemberData(nameof(Models))]
    public void Two_threads_give_the_bits_of_one(string model, KvType kv)
    {
        using var runner = new StageRunner(Path(model), threads: 2, kvType: kv);
        AssertSame(Whole(model, kv), runner.RunInChunks(Tokens, Tokens.Length));
        using var step = new StageRunner(Path(model), threads: 3, kvType: kv);
        AssertSame(Whole(model, kv), step.RunInChunks(Tokens, 1));
    }

    [Theory, MemberData(nameof(Models))]
    public void A_sequence_in_a_batch_with_another_gives_the_bits_it_gives_alone(string model, KvType kv)
    {
        using var runner = new StageRunner(Path(model), kvType: kv);
        var vocabulary = runner.Config.VocabSize;
        var other = Tokens.Reverse().ToArray();
        runner.Run((8, 0, other[..11]));
        var first = runner.Run((7, 0, Tokens[..33]), (8, 11, other[11..20]));
        var second = runner.Run((8, 20, other[20..21]), (7, 33, Tokens[33..]));
        AssertSame(
            Whole(model, kv), [.. first.AsSpan(0, 33 * vocabulary), .. second.AsSpan(vocabulary)]);
    }

    [Theory, MemberData(nameof(Models))]
    public void A_sequence_cut_back_and_fed_again_gives_the_same_bits(string model, KvType kv)
    {
        using var runner = new StageRunner(Path(model), kvType: kv);
        var vocabulary = runner.Config.VocabSize;
        runner.Run((1, 0, [.. Tokens.AsSpan(0, 20), 5, 6, 7, .. new int[30]]));
        var rest = runner.Run((1, 20, Tokens[20..]));
        AssertSame(Whole(model, kv)[(20 * vocabulary)..], rest);
    }

    [Theory, MemberData(nameof(Models))]
    public void Every_instruction_set_gives_the_same_bits(string model, KvType kv)
    {
        var whole = Whole(model, kv);
        foreach (var instructions in InstructionSetPaths.Supported)
        {
            using var runner = new StageRunner(Path(model), kvType: kv, instructions: instructions);
            AssertSame(whole, runner.RunInChunks(Tokens, 40, 1));
        }
    }

    private static float[] Whole(string model, KvType kv) => Chunks(model, kv, Tokens.Length);

    private static float[] Chunks(string model, KvType kv, params int[] sizes)
    {
        using var runner = new StageRunner(Path(model), kvType: kv);
        return runner.RunInChunks(Tokens, sizes);
    }

    // The heads of most golden models are too small for q8_0 keys.
    private static string Path(string model) => model == "sample"
        ? Repository.SampleModel
        : new[] { "architectures", "quantized", "formulas" }.Select(folder => Golden.Path($"{folder}/{model}.gguf")).Single(File.Exists);

    private static void AssertSame(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.True(
                BitConverter.SingleToInt32Bits(expected[i]) == BitConverter.SingleToInt32Bits(actual[i]),
                $"value {i} of {expected.Length} is {actual[i]:R}, not {expected[i]:R}");
        Assert.All(expected, value => Assert.True(float.IsFinite(value)));
    }
}
