namespace Distributed.Core;

/// <summary>The size of one of a stage's activation buffers.</summary>
/// <param name="Rows">Tokens.</param>
/// <param name="Columns">Float32 values per token.</param>
public sealed record BufferShape(int Rows, int Columns)
{
    /// <summary>Bytes it takes.</summary>
    public long Bytes => (long)Rows * Columns * sizeof(float);
}

/// <summary>
/// What a stage works in besides weights and KV cache: allocated by these figures when it loads, and forecast by them before.
/// </summary>
/// <param name="Hidden">The hidden states.</param>
/// <param name="Queries">Queries of one layer.</param>
/// <param name="Keys">Keys of one layer.</param>
/// <param name="Values">Values of one layer.</param>
/// <param name="Attention">What attention gives, before its output matrix.</param>
/// <param name="Gate">The feed-forward network's gate; with experts, a row for each token's each.</param>
/// <param name="Up">The feed-forward network's other half.</param>
/// <param name="Branch">What a branch adds to the hidden states, before it is added; with experts, a row for each token's each.</param>
/// <param name="Router">The experts' scores; no columns without experts.</param>
/// <param name="Cos">Cosines of the rotary angles.</param>
/// <param name="Sin">Sines of the rotary angles.</param>
/// <param name="LocalCos">Cosines for layers with a window; no rows where they are the same.</param>
/// <param name="LocalSin">Sines for layers with a window; no rows where they are the same.</param>
/// <param name="Head">Hidden states whose logits are wanted; no rows without the head.</param>
/// <param name="Logits">Their logits; no rows without the head.</param>
public sealed record StageBuffers(
    BufferShape Hidden, BufferShape Queries, BufferShape Keys, BufferShape Values, BufferShape Attention, BufferShape Gate,
    BufferShape Up, BufferShape Branch, BufferShape Router, BufferShape Cos, BufferShape Sin, BufferShape LocalCos, BufferShape LocalSin,
    BufferShape Head, BufferShape Logits)
{
    /// <summary>Tokens whose logits are computed at once; more are taken in turns.</summary>
    public const int MaxHeadTokens = 32;

    /// <summary>The most tokens in a step of a model: with them every array of a step, logits of all tokens included, is below 2³¹ values.</summary>
    public static int MaxTokens(ModelConfig config) => int.MaxValue / Math.Max(
        Math.Max(config.HiddenSize, config.IntermediateSize), Math.Max(config.VocabSize, Math.Max(config.QuerySize, config.KvSize)));

    /// <summary>The buffers of a stage.</summary>
    public static StageBuffers For(ModelConfig config, StageSpec spec)
    {
        var tokens = spec.MaxBatchTokens;
        var layers = spec.NumLayers > 0 ? tokens : 0;
        var head = spec.HasHead ? Math.Min(tokens, MaxHeadTokens) : 0;
        var choices = layers * (config.Experts?.PerToken ?? 1);
        var width = config.Experts?.IntermediateSize ?? config.IntermediateSize;
        var local = config.LocalRope is null ? 0 : layers;
        return new StageBuffers(
            Hidden: new(tokens, config.HiddenSize),
            Queries: new(layers, config.QuerySize),
            Keys: new(layers, config.KvSize),
            Values: new(layers, config.KvSize),
            Attention: new(layers, config.QuerySize),
            Gate: new(choices, width),
            Up: new(choices, width),
            Branch: new(choices, config.HiddenSize),
            Router: new(layers, config.Experts?.Count ?? 0),
            Cos: new(layers, config.Rope.Dimensions / 2),
            Sin: new(layers, config.Rope.Dimensions / 2),
            LocalCos: new(local, config.Rope.Dimensions / 2),
            LocalSin: new(local, config.Rope.Dimensions / 2),
            Head: new(head, config.HiddenSize),
            Logits: new(head, config.VocabSize));
    }

    /// <summary>Bytes of all buffers.</summary>
    public long Bytes =>
        Hidden.Bytes + Queries.Bytes + Keys.Bytes + Values.Bytes + Attention.Bytes + Gate.Bytes + Up.Bytes + Branch.Bytes + Router.Bytes
        + Cos.Bytes + Sin.Bytes + LocalCos.Bytes + LocalSin.Bytes + Head.Bytes + Logits.Bytes;

    /// <summary>What is multiplied with weights: the kernels' scratch must serve the largest.</summary>
    public IReadOnlyList<BufferShape> Inputs => [Hidden, Attention, Gate, Branch];

    /// <summary>The one of <see cref="Inputs"/> that needs most scratch.</summary>
    public BufferShape LargestInput
    {
        get
        {
            var largest = Hidden;
            foreach (var input in Inputs)
                if (ScratchBytes(input.Rows, input.Columns) > ScratchBytes(largest.Rows, largest.Columns))
                    largest = input;
            return largest;
        }
    }

    /// <summary>Bytes of the kernels' scratch for all inputs.</summary>
    public long InputScratchBytes => ScratchBytes(LargestInput.Rows, LargestInput.Columns);

    /// <summary>
    /// Bytes of the kernels' scratch for inputs of up to <paramref name="rows"/> × <paramref name="columns"/> values: the normed
    /// input, and the same as bytes with a scale and room for eight terms (a few sums) for every 32.
    /// </summary>
    public static long ScratchBytes(int rows, int columns) => (long)rows * ((columns * sizeof(float)) + (columns / 32 * 68L));
}
