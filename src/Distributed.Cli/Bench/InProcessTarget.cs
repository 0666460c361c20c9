using Distributed.Core;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Cli.Bench;

/// <summary>All layers in this process, without any worker.</summary>
internal sealed class InProcessTarget : BenchTarget
{
    private readonly Backend _backend;
    private readonly Stage _stage;
    private readonly float[] _logits;
    private readonly int[] _outputs;
    private readonly Random _random = new(1);

    /// <param name="model">The model; it must stay open.</param>
    /// <param name="spec">All its layers.</param>
    /// <param name="backend">What computes; it goes with this object.</param>
    /// <param name="sequences">The most sequences in a step.</param>
    /// <param name="cancellation">Ends loading.</param>
    public InProcessTarget(ModelFile model, StageSpec spec, Backend backend, int sequences, CancellationToken cancellation)
    {
        Forecast = StageMemoryForecast.Forecast(model, spec).Total;
        _backend = backend;
        try
        {
            _stage = Stage.Load(model, _backend, spec, null, cancellation);
            _outputs = new int[sequences];
            _logits = new float[_stage.ResultLength(spec.MaxBatchTokens, sequences)];
        }
        catch
        {
            _stage?.Dispose();
            _backend.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override StageMemory Memory => _stage.Memory;

    /// <inheritdoc/>
    public override long Forecast { get; }

    /// <inheritdoc/>
    public override Task PrepareAsync(int sequence, int depth, CancellationToken cancellation)
    {
        Prefill(sequence, 0, depth, outputs: false, cancellation);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override Task PrefillAsync(int depth, int tokens, CancellationToken cancellation)
    {
        Prefill(0, depth, tokens, outputs: true, cancellation);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override Task DecodeAsync(int sequences, int depth, int tokens, CancellationToken cancellation)
    {
        var slices = new SequenceSlice[sequences];
        for (var i = 0; i < tokens; i++)
        {
            for (var sequence = 0; sequence < sequences; sequence++)
                slices[sequence] = new SequenceSlice(sequence, depth + i, 1);
            Step(slices, outputs: true, cancellation);
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override Task ReleaseAsync(int sequences, CancellationToken cancellation)
    {
        for (var sequence = 0; sequence < sequences; sequence++)
            _stage.KvCache.Release(sequence);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override long PeakResident() => ProcessMemory.Peak(Environment.ProcessId);

    /// <inheritdoc/>
    public override ValueTask DisposeAsync()
    {
        _stage.Dispose();
        _backend.Dispose();
        return ValueTask.CompletedTask;
    }

    private void Prefill(int sequence, int start, int count, bool outputs, CancellationToken cancellation)
    {
        for (int done = 0, chunk; done < count; done += chunk)
        {
            chunk = Math.Min(_stage.Spec.MaxBatchTokens, count - done);
            Step([new SequenceSlice(sequence, start + done, chunk)], outputs && done + chunk == count, cancellation);
        }
    }

    private void Step(ReadOnlySpan<SequenceSlice> slices, bool outputs, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var end = 0;
        for (var i = 0; i < slices.Length; i++)
        {
            end += slices[i].Count;
            _outputs[i] = end - 1;
        }

        var tokens = new int[end];
        foreach (ref var token in tokens.AsSpan())
            token = _random.Next(_stage.Config.VocabSize);
        var wanted = outputs ? slices.Length : 0;
        _stage.Forward(slices, tokens, _outputs.AsSpan(0, wanted), [], _logits.AsSpan(0, _stage.ResultLength(end, wanted)));
    }
}
