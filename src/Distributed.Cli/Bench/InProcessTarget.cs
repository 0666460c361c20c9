using Distributed.Core;
using Distributed.Cpu;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Cli.Bench;

/// <summary>All layers in this process, without any worker.</summary>
internal sealed class InProcessTarget : BenchTarget
{
    private readonly CpuBackend _backend;
    private readonly Stage _stage;
    private readonly float[] _logits;
    private readonly int[] _outputs;

    /// <param name="model">The model; it must stay open.</param>
    /// <param name="spec">All its layers.</param>
    /// <param name="threads">Threads that compute.</param>
    /// <param name="sequences">The most sequences in a step.</param>
    /// <param name="cancellation">Ends loading.</param>
    public InProcessTarget(ModelFile model, StageSpec spec, int threads, int sequences, CancellationToken cancellation)
    {
        Forecast = StageMemoryForecast.Forecast(model, spec).Total;
        _backend = new CpuBackend(threads);
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
    public override Task StepAsync(SequenceSlice[] slices, ReadOnlyMemory<int> tokens, bool outputs, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var end = 0;
        for (var i = 0; i < slices.Length; i++)
        {
            end += slices[i].Count;
            _outputs[i] = end - 1;
        }
        var wanted = outputs ? slices.Length : 0;
        _stage.Forward(slices, tokens.Span, _outputs.AsSpan(0, wanted), [], _logits.AsSpan(0, _stage.ResultLength(tokens.Length, wanted)));
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
}
