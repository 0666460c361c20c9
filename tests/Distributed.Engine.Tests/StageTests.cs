using System.Diagnostics;
using Distributed.Core;
using Distributed.Cpu;
using Distributed.Engine.KvCache;
using Distributed.Testing;

namespace Distributed.Engine.Tests;

public sealed class StageTests : IDisposable
{
    private readonly ModelFile _model = ModelFile.Open(Repository.SampleModel);
    private readonly CpuBackend _backend = new(1);

    public static TheoryData<int, int, KvType> Parts => new()
    {
        { 0, 8, KvType.F16 },
        { 0, 3, KvType.F32 },
        { 3, 6, KvType.Q8_0 },
        { 6, 8, KvType.F16 },
        { 0, 0, KvType.F16 },
        { 8, 8, KvType.F16 },
    };

    [Theory, MemberData(nameof(Parts))]
    public void A_stage_takes_what_was_forecast(int first, int end, KvType kvType)
    {
        var spec = Spec(first, end) with { KvType = kvType };
        using var stage = Load(spec);
        Assert.Equal(StageMemoryForecast.Forecast(_model, spec), stage.Memory);
        Assert.Equal(stage.Memory.KvCache, stage.KvCache.BlockBytes * stage.KvCache.Blocks);
    }

    [Fact]
    public void The_output_matrix_counts_once_when_the_embedding_lies_beside_it()
    {
        using var whole = Load(Spec(0, 8));
        using var last = Load(Spec(4, 8));
        var embedding = _model.Tensors[TensorNames.TokenEmbedding].Bytes;
        Assert.True(whole.Memory.LmHead < embedding);
        Assert.True(last.Memory.LmHead > embedding);
    }

    [Fact]
    public void Progress_ends_at_all_bytes_of_weights()
    {
        var progress = new Recorder();
        using var stage = Stage.Load(_model, _backend, Spec(2, 8), progress);
        Assert.Equal(progress.Values.Order(), progress.Values);
        Assert.Equal(stage.Memory.Weights + stage.Memory.LmHead, progress.Values[^1]);
    }

    [Fact]
    public void Loading_can_be_cancelled()
    {
        using var cancellation = new CancellationTokenSource();
        var progress = new Recorder(cancellation.Cancel);
        Assert.Throws<OperationCanceledException>(() => Stage.Load(_model, _backend, Spec(0, 8), progress, cancellation.Token));
        Assert.Single(progress.Values);
    }

    [Theory]
    [InlineData(-1, 3)]
    [InlineData(3, 2)]
    [InlineData(0, 9)]
    public void Layers_the_model_lacks_are_refused(int first, int end) =>
        Assert.Contains("[0, 8)", Assert.Throws<InvalidInputException>(() => Load(Spec(0, 8) with { FirstLayer = first, EndLayer = end })).Message,
            StringComparison.Ordinal);

    [Theory]
    [InlineData(0)]
    [InlineData((int.MaxValue / 1205) + 1)]
    [InlineData(int.MaxValue)]
    public void A_batch_whose_values_pass_all_indices_is_refused(int tokens)
    {
        var error = Assert.Throws<InvalidInputException>(() => Load(Spec(0, 8) with { MaxBatchTokens = tokens })).Errors.Single();
        Assert.Equal(("max batch tokens", $"must lie between 1 and {int.MaxValue / 1205}"), (error.Key, error.Rule));
    }

    [Fact]
    public void A_full_cache_leaves_the_stage_as_it_was()
    {
        using var stage = Load(Spec(0, 8) with { KvBlocks = 2 });
        var expected = Logits(stage, 1, 0, 5, 6, 7);
        Assert.Throws<KvFullException>(() => Logits(stage, 1, 3, new int[62]));
        Assert.Equal([new SequenceKv(1, 3, 1, stage.KvCache.BlockBytes)], stage.KvCache.Report());
        var next = Logits(stage, 1, 3, 8);
        Assert.True(stage.KvCache.Release(1));
        Assert.Equal(expected, Logits(stage, 1, 0, 5, 6, 7));
        Assert.Equal(next, Logits(stage, 1, 3, 8));
    }

    [Fact]
    public void Only_wanted_logits_are_given()
    {
        using var stage = Load(Spec(0, 8));
        int[] tokens = [.. Enumerable.Range(1, 50)];
        var vocabulary = _model.Config.VocabSize;
        var all = new float[50 * vocabulary];
        stage.Forward([new(1, 0, 50)], tokens, tokens.Select(t => t - 1).ToArray(), [], all);
        var some = new float[2 * vocabulary];
        stage.Forward([new(1, 0, 50)], tokens, [0, 49], [], some);
        Assert.Equal([.. all[..vocabulary], .. all[^vocabulary..]], some);
        stage.Forward([new(1, 0, 50)], tokens, [], [], []);
    }

    [Fact]
    public void Moments_of_layers_are_given_on_request_and_change_no_bit()
    {
        using var stage = Load(Spec(0, 8));
        var expected = Logits(stage, 1, 0, 5, 6, 7);
        var logits = new float[_model.Config.VocabSize];
        var moments = new long[9];
        var before = Stopwatch.GetTimestamp();
        stage.Forward([new(2, 0, 3)], [5, 6, 7], [2], [], logits, moments);
        var after = Stopwatch.GetTimestamp();
        Assert.Equal(expected, logits);
        long[] all = [before, .. moments, after];
        Assert.All(all.Zip(all.Skip(1)), pair => Assert.True(pair.First < pair.Second));
        var error = Assert.Throws<InvalidInputException>(() => stage.Forward([new(2, 3, 1)], [5], [0], [], logits, new long[8]));
        Assert.Equal("layer moments is 8: must have room for 9, or for none", error.Message);
    }

    [Fact]
    public void A_step_makes_no_garbage()
    {
        using var stage = Load(Spec(0, 8));
        var logits = new float[_model.Config.VocabSize];
        SequenceSlice[] slices = [new(1, 0, 1)];
        for (var i = 0; i < 3; i++)
            stage.Forward(slices, [1], [0], [], logits);
        var made = new long[10];
        for (var i = 0; i < made.Length; i++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            stage.Forward(slices, [1], [0], [], logits);
            made[i] = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        // Once in some hundred steps something is allocated on this thread, most often 144 bytes, between other operations each time and
        // without a collection or compilation: what a step itself makes would be there each time.
        Assert.InRange(made.Count(bytes => bytes > 0), 0, 1);
    }

    public static TheoryData<string, int[], int[], int, int> WrongSteps => new()
    {
        { "tokens[1]", [1, 1205], [], 0, 0 },
        { "tokens[0]", [-1, 0], [], 0, 0 },
        { "tokens", [1, 2, 3], [], 0, 0 },
        { "tokens", [], [], 0, 0 },
        { "outputs[0]", [1, 2], [2], 0, 1205 },
        { "outputs[1]", [1, 2], [1, 1], 0, 2410 },
        { "outputs[0]", [1, 2], [-1], 0, 1205 },
        { "hidden state", [1, 2], [1], 512, 1205 },
        { "result", [1, 2], [1], 0, 1204 },
    };

    [Theory, MemberData(nameof(WrongSteps))]
    public void A_step_that_breaks_a_rule_is_refused(string key, int[] tokens, int[] outputs, int hidden, int result)
    {
        using var stage = Load(Spec(0, 8));
        var error = Assert.Throws<InvalidInputException>(
            () => stage.Forward([new(1, 0, 2)], tokens, outputs, new float[hidden], new float[result]));
        Assert.Equal(key, error.Errors.Single().Key);
        Assert.Empty(stage.KvCache.Report());
    }

    [Fact]
    public void More_tokens_than_the_stage_has_room_for_are_refused()
    {
        using var stage = Load(Spec(0, 8));
        Assert.Throws<InvalidInputException>(
            () => stage.Forward([new(1, 0, 65)], Enumerable.Repeat(1, 65).ToArray(), [], [], []));
    }

    [Fact]
    public void A_stage_behind_the_first_needs_hidden_states()
    {
        using var stage = Load(Spec(4, 8));
        Assert.Throws<InvalidInputException>(() => stage.Forward([new(1, 0, 1)], [1], [], new float[255], []));
        stage.Forward([new(1, 0, 1)], [1], [], new float[256], []);
    }

    public void Dispose()
    {
        _backend.Dispose();
        _model.Dispose();
    }

    private static StageSpec Spec(int first, int end) =>
        new(first, end, first == 0, end == 8, MaxBatchTokens: 64, KvType.F16, KvBlocks: 8);

    private Stage Load(StageSpec spec) => Stage.Load(_model, _backend, spec);

    private float[] Logits(Stage stage, long sequence, int start, params int[] tokens)
    {
        var logits = new float[_model.Config.VocabSize];
        stage.Forward([new(sequence, start, tokens.Length)], tokens, [tokens.Length - 1], [], logits);
        return logits;
    }

    private sealed class Recorder(Action? onReport = null) : IProgress<long>
    {
        public List<long> Values { get; } = [];

        public void Report(long value)
        {
            Values.Add(value);
            onReport?.Invoke();
        }
    }
}
