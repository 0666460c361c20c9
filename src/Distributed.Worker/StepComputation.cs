using System.Buffers;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Sampling;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Worker;

/// <summary>Carries out a stage's orders, one after the other.</summary>
/// <param name="identity">Which stage this is.</param>
/// <param name="stage">The stage.</param>
/// <param name="device">The device's name, for reports.</param>
public sealed class StepComputation(StageIdentity identity, Stage stage, string device)
{
    private readonly Sampler _sampler = new();
    private readonly HeldTokens _held = new();
    private readonly int _hiddenSize = stage.Config.HiddenSize;
    private readonly int _vocabSize = stage.Config.VocabSize;

    // All tokens' logits may be a hundred MiB. The shared pool would keep an array for each thread that a step has run on.
    private readonly ArrayPool<float> _logits = ArrayPool<float>.Create(Array.MaxLength, 1);
    private readonly long[] _layerMoments = new long[stage.Spec.NumLayers + 1];

    /// <summary>Which tokens the sequences have.</summary>
    internal HeldTokens Held => _held;

    /// <summary>Carries out an order. A step that fails gives a result that says so; the stage goes on.</summary>
    public StageOutcome Run(StageOrder order)
    {
        if (order.Release is { } release)
        {
            foreach (var fork in release.Forks)
            {
                if (stage.KvCache.Share(fork.From, fork.Sequence, fork.Tokens))
                    _held.Share(fork.From, fork.Sequence, fork.Tokens);
            }

            foreach (var sequence in release.Sequences)
            {
                stage.KvCache.Release(sequence);
                _held.Release(sequence);
            }

            return new StageOutcome(null, null, release, NodeClock.Now);
        }

        var step = order.Step!;
        var started = NodeClock.Now;
        var timing = new StageTiming
        {
            Stage = identity.Stage,
            WireNs = Math.Max(0, step.ArrivedNs - step.SentNs),
            DeserializeNs = order.AcceptedNs - step.ArrivedNs,
            QueueNs = started - order.AcceptedNs,
        };
        if (step.WantMoments)
        {
            timing.Moments = new StageMoments
            {
                ArrivedNs = step.ArrivedNs,
                AcceptedNs = order.AcceptedNs,
                StartedNs = started,
                Bytes = step.ReceivedHidden.Length,
            };
        }

        try
        {
            Check(step);
            return identity.IsLast ? ComputeResult(step, timing, started) : ComputeHidden(step, timing, started);
        }
#pragma warning disable CA1031 // Whatever a step does, the stage and the others on this worker go on.
        catch (Exception error)
#pragma warning restore CA1031
        {
            var failure = error switch
            {
                StageFailureException known => known.Failure,
                OutOfMemoryException => identity.Fail(FailureCode.OutOfMemory, $"no memory is left for step {step.Step_}").Failure,
                KvFullException => identity.Fail(FailureCode.KvFull, error.Message).Failure,
                InvalidInputException => identity.Fail(FailureCode.BadFrame, error.Message).Failure,
                _ => identity.Fail(FailureCode.StageFailed, error.Message).Failure,
            };
            return Result(new StepResult { Step = step.Step_, Failure = failure }, step, timing, started);
        }
        finally
        {
            step.ReturnHidden();
        }
    }

    private StageOutcome ComputeHidden(Step step, StageTiming timing, long started)
    {
        var bytes = HiddenStateCodec.Bytes(checked(step.Tokens.Count * _hiddenSize));
        var buffer = ArrayPool<byte>.Shared.Rent(bytes);
        try
        {
            Forward(step, timing, [], HiddenStateCodec.AsFloats(buffer.AsSpan(0, bytes)));
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }

        var computed = Computed(timing, started);
        if (identity.Wire != WireType.F32)
            (buffer, bytes) = Encode(buffer, bytes, step.Tokens.Count);
        var onward = new Step
        {
            Epoch = step.Epoch,
            Step_ = step.Step_,
            Hidden = HiddenStateCodec.Wrap(buffer, bytes),
            WantMoments = step.WantMoments,
            WantLayerMoments = step.WantLayerMoments,
        };
        onward.Slices.Add(step.Slices);
        onward.Tokens.Add(step.Tokens);
        onward.Timings.Add(step.Timings);
        onward.Timings.Add(timing);
        return new StageOutcome(onward, null, null, computed, buffer);
    }

    // Gives the pooled buffer of values back for one of what goes over the wire.
    private (byte[] Buffer, int Bytes) Encode(byte[] values, int valueBytes, int tokens)
    {
        var bytes = HiddenStateCodec.Bytes(identity.Wire, tokens, _hiddenSize);
        var wire = ArrayPool<byte>.Shared.Rent(bytes);
        HiddenStateCodec.Encode(identity.Wire, HiddenStateCodec.AsFloats(values.AsSpan(0, valueBytes)), wire.AsSpan(0, bytes));
        ArrayPool<byte>.Shared.Return(values);
        return (wire, bytes);
    }

    private StageOutcome ComputeResult(Step step, StageTiming timing, long started)
    {
        var outputs = Outputs(step);
        var logits = _logits.Rent(Math.Max(1, checked(outputs.Length * _vocabSize)));
        try
        {
            Forward(step, timing, outputs, logits.AsSpan(0, outputs.Length * _vocabSize));
            var result = new StepResult { Step = step.Step_ };
            Draw(step, logits, result);
            return Result(result, step, timing, started);
        }
        finally
        {
            _logits.Return(logits);
        }
    }

    private void Forward(Step step, StageTiming timing, int[] outputs, Span<float> output)
    {
        var layers = step.WantLayerMoments && timing.Moments is not null ? _layerMoments : [];
        var slices = step.Slices.Select(slice => new SequenceSlice(slice.Sequence, slice.Start, slice.Count)).ToArray();
        foreach (var slice in slices)
            _held.Cut(slice.Sequence, slice.Start);
        if (identity.Stage == 0 || identity.Wire == WireType.F32)
        {
            var received = HiddenStateCodec.AsReceivedFloats(step.ReceivedHidden.Span);
            CheckFinite(step, received);
            stage.Forward(slices, [.. step.Tokens], outputs, received, output, layers);
        }
        else
        {
            var count = step.Tokens.Count * _hiddenSize;
            var values = ArrayPool<float>.Shared.Rent(count);
            try
            {
                HiddenStateCodec.Decode(identity.Wire, step.ReceivedHidden.Span, values);
                CheckFinite(step, values.AsSpan(0, count));
                stage.Forward(slices, [.. step.Tokens], outputs, values.AsSpan(0, count), output, layers);
            }
            finally
            {
                ArrayPool<float>.Shared.Return(values);
            }
        }

        var first = 0;
        foreach (var slice in slices)
        {
            _held.Append(slice.Sequence, step.Tokens.Skip(first).Take(slice.Count));
            first += slice.Count;
        }

        timing.Moments?.LayersNs.Add(layers.Select(NodeClock.FromTicks));
    }

    // They would spread over the sequence's KV cache, and its tokens be none of the model's.
    private void CheckFinite(Step step, ReadOnlySpan<float> hidden)
    {
        if (!HiddenStateCodec.AreFinite(hidden))
            throw identity.Fail(FailureCode.BadState, $"step {step.Step_} has hidden states with values that are no numbers");
    }

    // The tokens whose logits are needed, as indices into the step: all of a slice, or its last.
    private static int[] Outputs(Step step)
    {
        var outputs = new List<int>();
        var offset = 0;
        foreach (var slice in step.Slices)
        {
            if (slice.AllLogits)
                outputs.AddRange(Enumerable.Range(offset, slice.Count));
            else if (slice.Sampling is not null)
                outputs.Add(offset + slice.Count - 1);
            offset += slice.Count;
        }

        return [.. outputs];
    }

    private void Draw(Step step, float[] logits, StepResult result)
    {
        var row = 0;
        var returned = new List<(int First, int Count)>();
        foreach (var slice in step.Slices)
        {
            var rows = slice.AllLogits ? slice.Count : slice.Sampling is null ? 0 : 1;
            if (slice.AllLogits)
                returned.Add((row, rows));
            row += rows;
            if (slice.Sampling is not { } sampling)
                continue;
            var drawn = _sampler.Sample(
                logits.AsSpan((row - 1) * _vocabSize, _vocabSize),
                sampling.ToOptions(),
                [.. sampling.Recent],
                slice.Start + slice.Count,
                sampling.TopLogProbs);
            var token = new Cluster.Protocol.SampledToken { Sequence = slice.Sequence, Token = drawn.Token, LogProb = drawn.LogProb };
            token.Top.Add(drawn.Top.Select(top => new Cluster.Protocol.TokenLogProb { Token = top.Token, LogProb = top.LogProb }));
            result.Tokens.Add(token);
        }

        if (returned.Count == 0)
            return;
        var bytes = new byte[HiddenStateCodec.Bytes(returned.Sum(range => range.Count) * _vocabSize)];
        var target = HiddenStateCodec.AsFloats(bytes);
        foreach (var (first, count) in returned)
        {
            logits.AsSpan(first * _vocabSize, count * _vocabSize).CopyTo(target);
            target = target[(count * _vocabSize)..];
        }

        result.Logits = HiddenStateCodec.Wrap(bytes, bytes.Length);
    }

    private static StageOutcome Result(StepResult result, Step step, StageTiming timing, long started)
    {
        var computed = Computed(timing, started);
        result.Timings.Add(step.Timings);
        result.Timings.Add(timing);
        return new StageOutcome(null, result, null, computed);
    }

    private static long Computed(StageTiming timing, long started)
    {
        var computed = NodeClock.Now;
        timing.ComputeNs = computed - started;
        if (timing.Moments is { } moments)
            moments.ComputedNs = computed;
        return computed;
    }

    private void Check(Step step)
    {
        // First of all: buffers are rented by this number.
        if (step.Tokens.Count > stage.Spec.MaxBatchTokens)
            throw identity.Fail(
                FailureCode.BadFrame, $"step {step.Step_} has {step.Tokens.Count} tokens, must have at most {stage.Spec.MaxBatchTokens}");
        if (step.Slices.Count == 0 || step.Slices.Any(slice => slice.Count < 1 || slice.Start < 0))
            throw identity.Fail(FailureCode.BadFrame, $"step {step.Step_} has no slice, or one without tokens or with a negative start");
        if (step.Slices.Sum(slice => (long)slice.Count) != step.Tokens.Count)
            throw identity.Fail(
                FailureCode.BadFrame, $"step {step.Step_} has {step.Tokens.Count} tokens, but its slices count {step.Slices.Sum(slice => (long)slice.Count)}");
        if (step.Timings.Count > identity.Stage)
            throw identity.Fail(
                FailureCode.BadFrame, $"step {step.Step_} has timings of {step.Timings.Count} stages, but only {identity.Stage} are before this one");
        foreach (var sampling in step.Slices.Select(slice => slice.Sampling).OfType<Cluster.Protocol.Sampling>())
        {
            var errors = sampling.ToOptions().Validate("sampling.").ToList();
            if (sampling.TopLogProbs < 0 || sampling.TopLogProbs > _vocabSize)
                errors.Add(new InputError("sampling.top-log-probs", $"{sampling.TopLogProbs}", $"must lie between 0 and {_vocabSize}"));
            if (sampling.Recent.Count > stage.Spec.Context)
                errors.Add(new InputError("sampling.recent", $"{sampling.Recent.Count} tokens", $"must be at most {stage.Spec.Context}"));
            if (errors.Count > 0)
                throw new InvalidInputException(errors);
        }

        var hidden = identity.Stage == 0 ? 0 : HiddenStateCodec.Bytes(identity.Wire, step.Tokens.Count, _hiddenSize);
        if (step.ReceivedHidden.Length != hidden)
            throw identity.Fail(
                FailureCode.BadFrame,
                $"step {step.Step_} has {step.ReceivedHidden.Length} bytes of hidden states, must have {hidden} as {identity.Wire.ToName()}");
    }

    /// <summary>What the KV cache holds; may be asked from any thread.</summary>
    /// <param name="withTokens">Say which tokens, too.</param>
    public StageKv ReportKv(bool withTokens = false)
    {
        var report = new StageKv
        {
            Pipeline = identity.Pipeline,
            Epoch = identity.Epoch,
            Stage = identity.Stage,
            Device = device,
            FirstLayer = stage.Spec.FirstLayer,
            EndLayer = stage.Spec.EndLayer,
            Blocks = stage.KvCache.Blocks,
            FreeBlocks = stage.KvCache.FreeBlocks,
            BlockBytes = stage.KvCache.BlockBytes,
            Layout = stage.KvLayout ?? "",
        };
        report.Sequences.Add(stage.KvCache.Report().Select(held => new Cluster.Protocol.SequenceKv
        {
            Sequence = held.Sequence,
            Tokens = held.Tokens,
            Blocks = held.Blocks,
            Bytes = held.Bytes,
            SharedBlocks = held.SharedBlocks,
            TokenIds = { withTokens ? _held.Of(held.Sequence) : [] },
        }));
        return report;
    }
}
