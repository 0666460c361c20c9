using System.Diagnostics;
using System.Globalization;
using Distributed.Core;
using Distributed.Engine.KvCache;
using Distributed.Engine.Models;

namespace Distributed.Engine;

/// <summary>
/// A contiguous range of a model's layers on one device, ready to run: weights, KV cache and the buffers for the largest batch.
/// Used by one thread at a time; <see cref="KvCache"/> may be asked for reports from any.
/// </summary>
public sealed partial class Stage : IDisposable
{
    private readonly Model _model;
    private readonly Workspace _work;

    private Stage(ModelConfig config, StageSpec spec, Model model, Workspace work, StageMemory memory)
    {
        (Config, Spec, _model, _work, Memory) = (config, spec, model, work, memory);
        KvCache = new KvBlocks(spec.KvBlocks, spec.KvBlocks == 0 ? 0 : work.Kv.Bytes / spec.KvBlocks);
    }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>What the stage is.</summary>
    public StageSpec Spec { get; }

    /// <summary>What it took, by part.</summary>
    public StageMemory Memory { get; }

    /// <summary>Which sequence holds how much of the KV cache.</summary>
    public KvBlocks KvCache { get; }

    /// <summary>Loads a stage.</summary>
    /// <param name="model">The model; it must stay open as long as the stage is used.</param>
    /// <param name="backend">The device; it must outlive the stage, which does not dispose of it.</param>
    /// <param name="spec">Layers and room.</param>
    /// <param name="bytesReady">Told after each tensor how many bytes of weights are on the device; null for nobody.</param>
    /// <param name="cancellation">Ends loading between two tensors.</param>
    /// <exception cref="InvalidInputException">The model has no such layers, or the device cannot run it.</exception>
    /// <exception cref="OutOfMemoryException">
    /// There is too little memory; a <see cref="DeviceFullException"/> says how much, where it is a device's own.
    /// </exception>
    /// <exception cref="OperationCanceledException">Loading was cancelled.</exception>
    public static Stage Load(
        ModelFile model, Backend backend, StageSpec spec, IProgress<long>? bytesReady = null, CancellationToken cancellation = default)
    {
        var config = model.Config;
        CheckSpec(config, spec);
        var weights = new Dictionary<string, Weight>();
        long body = 0, head = 0;
        var tensors = StageTensors.For(model, spec).ToList();
        backend.Prepare(StageMemoryForecast.Forecast(model, spec), tensors.Count + Workspace.Pieces);
        foreach (var (tensor, role, _) in tensors)
        {
            cancellation.ThrowIfCancellationRequested();
            weights.Add(tensor.Name, backend.Load(tensor));
            if (role == TensorRole.Output)
                head += tensor.Bytes;
            else
                body += tensor.Bytes;
            bytesReady?.Report(body + head);
        }

        var layers = ModelRegistry.Create(new StageWeights(config, spec, weights));
        var work = new Workspace(backend, config, spec);
        var memory = new StageMemory(body, head, work.Kv.Bytes, work.ActivationBytes, backend.ScratchBytes);
        return new Stage(config, spec, layers, work, memory);
    }

    /// <summary>Values that <see cref="Forward"/> gives: logits of the outputs on the last stage, else hidden states of all tokens.</summary>
    /// <param name="tokens">Tokens of the step, at most <see cref="StageSpec.MaxBatchTokens"/>.</param>
    /// <param name="outputs">Those whose logits are wanted, at most as many.</param>
    public int ResultLength(int tokens, int outputs) => Spec.HasHead ? outputs * Config.VocabSize : tokens * Config.HiddenSize;

    /// <summary>
    /// Runs one step: cuts back and lengthens the sequences' caches, then computes. When it throws <see cref="InvalidInputException"/>
    /// or <see cref="KvFullException"/>, nothing has changed.
    /// </summary>
    /// <param name="slices">The sequences of the step; their counts add up to the tokens.</param>
    /// <param name="tokens">Token ids, slice after slice; at most <see cref="StageSpec.MaxBatchTokens"/>.</param>
    /// <param name="outputs">Indices into the tokens whose logits are wanted, ascending; only the last stage looks at them.</param>
    /// <param name="hidden">Hidden states of the stage before, [tokens, HiddenSize]; empty on the first stage.</param>
    /// <param name="result">
    /// Room for <see cref="ResultLength"/> values: logits [outputs, VocabSize] on the last stage, else hidden states [tokens, HiddenSize].
    /// </param>
    /// <param name="layerMoments">
    /// Gets, in ticks of <see cref="Stopwatch"/>, the moment when the first layer began and then the moment when each layer ended:
    /// room for one more than the stage has layers. Empty to read no clock.
    /// </param>
    /// <exception cref="InvalidInputException">The step breaks one of these rules; the error names it.</exception>
    /// <exception cref="KvFullException">The KV cache has too few free blocks.</exception>
    public void Forward(
        ReadOnlySpan<SequenceSlice> slices, ReadOnlySpan<int> tokens, ReadOnlySpan<int> outputs, ReadOnlySpan<float> hidden,
        Span<float> result, Span<long> layerMoments = default)
    {
        if (!layerMoments.IsEmpty && layerMoments.Length != Spec.NumLayers + 1)
            throw Wrong("layer moments", layerMoments.Length, $"must have room for {Spec.NumLayers + 1}, or for none");
        CheckStep(slices, tokens, outputs, hidden.Length, result.Length);
        KvCache.Extend(slices, _work.Batch.Slices);
        _work.Batch.Set(tokens, outputs);
        if (Spec.HasEmbedding)
            _model.Embed(_work);
        else
            _work.Backend.Upload(hidden, _work.Hidden, tokens.Length);
        if (!layerMoments.IsEmpty)
            layerMoments[0] = Stopwatch.GetTimestamp();
        _model.RunLayers(_work, layerMoments.IsEmpty ? [] : layerMoments[1..]);
        if (Spec.HasHead)
            _model.ComputeLogits(_work, result);
        else
            _work.Backend.Download(_work.Hidden, tokens.Length, result);
    }

    /// <inheritdoc/>
    public void Dispose() => _work.Dispose();

    private static void CheckSpec(ModelConfig config, StageSpec spec)
    {
        var errors = new List<InputError>();
        if (spec.FirstLayer < 0 || spec.EndLayer < spec.FirstLayer || spec.EndLayer > config.NumLayers)
            errors.Add(new InputError("layers", $"[{spec.FirstLayer}, {spec.EndLayer})", $"must lie within [0, {config.NumLayers})"));
        if (spec.MaxBatchTokens < 1 || spec.MaxBatchTokens > StageBuffers.MaxTokens(config))
        {
            errors.Add(new InputError(
                "max batch tokens", $"{spec.MaxBatchTokens}", $"must lie between 1 and {StageBuffers.MaxTokens(config)}"));
        }
        if (spec.KvBlocks < 0)
            errors.Add(new InputError("KV blocks", $"{spec.KvBlocks}", "must not be negative"));
        if (errors.Count > 0)
            throw new InvalidInputException(errors);
    }

    private void CheckStep(
        ReadOnlySpan<SequenceSlice> slices, ReadOnlySpan<int> tokens, ReadOnlySpan<int> outputs, int hidden, int result)
    {
        if (tokens.IsEmpty || tokens.Length > Spec.MaxBatchTokens)
            throw Wrong("tokens", tokens.Length, $"must be from 1 to {Spec.MaxBatchTokens} in a step");
        var sum = 0L;
        foreach (var slice in slices)
            sum += slice.Count;
        if (sum != tokens.Length)
            throw Wrong("tokens", tokens.Length, $"must be as many as the slices have, {sum}");
        for (var i = 0; i < tokens.Length; i++)
            if ((uint)tokens[i] >= (uint)Config.VocabSize)
                throw Wrong($"tokens[{i}]", tokens[i], $"must lie between 0 and {Config.VocabSize - 1}");
        for (var i = 0; i < outputs.Length; i++)
            if (outputs[i] >= tokens.Length || outputs[i] <= (i == 0 ? -1 : outputs[i - 1]))
                throw Wrong($"outputs[{i}]", outputs[i], $"must ascend and be below {tokens.Length}");
        var expected = Spec.HasEmbedding ? 0 : tokens.Length * Config.HiddenSize;
        if (hidden != expected)
            throw Wrong("hidden state", hidden, $"must have {expected} values");
        if (result != ResultLength(tokens.Length, outputs.Length))
            throw Wrong("result", result, $"must have room for {ResultLength(tokens.Length, outputs.Length)} values");
    }

    private static InvalidInputException Wrong(string key, long value, string rule) =>
        new(key, value.ToString(CultureInfo.InvariantCulture), rule);
}
