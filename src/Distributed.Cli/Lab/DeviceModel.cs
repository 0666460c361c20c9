using Distributed.Core;
using Distributed.Engine;
using Distributed.Engine.KvCache;
using Distributed.Gpu;
using Distributed.Worker;

namespace Distributed.Cli.Lab;

/// <summary>All layers of a model on a device of this process, for one sequence.</summary>
internal sealed class DeviceModel : IDisposable
{
    private readonly Backend _backend;
    private readonly Stage _stage;

    /// <param name="model">The model; it must stay open.</param>
    /// <param name="device">What computes.</param>
    /// <param name="kvType">The format of the KV cache.</param>
    /// <param name="context">The most tokens, and the most in a step.</param>
    /// <exception cref="InvalidInputException">The device has too little memory, or no kernel for the model.</exception>
    public DeviceModel(ModelFile model, Device device, KvType kvType, int context)
    {
        _backend = device.CreateBackend();
        try
        {
            _stage = Stage.Load(
                model, _backend,
                new StageSpec(
                    0, model.Config.NumLayers, HasEmbedding: true, HasHead: true, context, kvType, StageSpec.BlocksFor(context), context));
        }
        catch
        {
            _backend.Dispose();
            throw;
        }
    }

    /// <summary>Computes a sequence in steps.</summary>
    /// <param name="tokens">Its tokens.</param>
    /// <param name="chunk">Tokens in a step.</param>
    /// <param name="cancellation">Gives up between two steps.</param>
    /// <returns>The logits behind each token: [tokens, VocabSize].</returns>
    public float[] Logits(int[] tokens, int chunk, CancellationToken cancellation)
    {
        var vocabulary = _stage.Config.VocabSize;
        var logits = new float[tokens.Length * vocabulary];
        for (var start = 0; start < tokens.Length; start += chunk)
        {
            cancellation.ThrowIfCancellationRequested();
            var count = Math.Min(chunk, tokens.Length - start);
            _stage.Forward(
                [new SequenceSlice(0, start, count)], tokens.AsSpan(start, count), [.. Enumerable.Range(0, count)], [],
                logits.AsSpan(start * vocabulary, count * vocabulary));
        }
        _stage.KvCache.Release(0);
        return logits;
    }

    /// <summary>Continues a prompt with the likeliest token each time.</summary>
    /// <param name="prompt">The prompt's tokens.</param>
    /// <param name="count">How many tokens to draw.</param>
    /// <param name="cancellation">Gives up between two tokens.</param>
    public int[] Greedy(int[] prompt, int count, CancellationToken cancellation)
    {
        var drawn = new int[count];
        var logits = new float[_stage.Config.VocabSize];
        var (start, next) = (0, prompt);
        for (var i = 0; i < count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            _stage.Forward([new SequenceSlice(0, start, next.Length)], next, [next.Length - 1], [], logits);
            start += next.Length;
            drawn[i] = Array.IndexOf(logits, logits.Max());
            next = [drawn[i]];
        }
        _stage.KvCache.Release(0);
        return drawn;
    }

    /// <summary>Times each kernel while one token after another is computed, as decoding does.</summary>
    /// <param name="warmUp">Tokens before, in which kernels are compiled.</param>
    /// <param name="count">Tokens to time.</param>
    /// <param name="cancellation">Gives up between two tokens.</param>
    /// <returns>Of all those tokens together; empty for a device whose kernels are not timed.</returns>
    public IReadOnlyList<KernelTime> TimeKernels(int warmUp, int count, CancellationToken cancellation)
    {
        if (_backend is not GpuBackend card)
            return [];
        var random = new Random(1);
        var logits = new float[_stage.Config.VocabSize];
        IReadOnlyList<KernelTime> kernels = [];
        try
        {
            for (var i = 0; i < warmUp + count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                if (i == warmUp)
                    card.StartClock();
                _stage.Forward([new SequenceSlice(0, i, 1)], [random.Next(_stage.Config.VocabSize)], [0], [], logits);
            }
        }
        finally
        {
            kernels = card.StopClock();
        }
        _stage.KvCache.Release(0);
        return kernels;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stage.Dispose();
        _backend.Dispose();
    }
}
