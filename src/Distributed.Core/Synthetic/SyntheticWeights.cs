using System.Runtime.InteropServices;
using Distributed.Core.Quantization;

namespace Distributed.Core.Synthetic;

/// <summary>The tensors of a model, filled with random values, in memory as they would lie in a file.</summary>
internal sealed unsafe class SyntheticWeights : IDisposable
{
    // Of biases and the like, which are added to values of about 1.
    private const float SmallValues = 0.02f;

    // Spreads seeds over all bits.
    private const ulong OddFactor = 0xD1342543DE82EF95;

    private readonly OrderedDictionary<string, Tensor> _tensors = [];
    private void* _memory;

    /// <summary>Makes the weights on all cores.</summary>
    /// <exception cref="OutOfMemoryException">There is too little memory.</exception>
    public SyntheticWeights(SyntheticPlan plan, ulong seed, CancellationToken cancellation)
    {
        _memory = NativeMemory.AlignedAlloc((nuint)plan.Bytes, SyntheticPlan.Alignment);
        var data = (byte*)_memory;
        foreach (var (name, type, shape) in plan.Tensors)
        {
            _tensors.Add(name, new Tensor(name, type, shape, data, this));
            data += plan.Tensors[_tensors.Count - 1].PaddedBytes;
        }
        try
        {
            Parallel.ForEach(Parts(seed), new ParallelOptions { CancellationToken = cancellation }, part => part.Fill());
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    ~SyntheticWeights() => Free();

    /// <summary>The tensors by name, in a file's order.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <inheritdoc/>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private List<Part> Parts(ulong seed)
    {
        var parts = new List<Part>();
        var makers = new Dictionary<(QuantType, float), RandomBlocks>();
        foreach (var (index, tensor) in _tensors.Values.Index())
        {
            // Sums of n products of such weights with values of about 1 are about 1 again.
            var size = tensor.Dimensions.Count > 1 ? 1 / MathF.Sqrt(tensor.Columns) : SmallValues;
            if (!makers.TryGetValue((tensor.Type, size), out var maker))
                makers.Add((tensor.Type, size), maker = new RandomBlocks(tensor.Type, size));
            for (var at = 0L; at < tensor.Bytes; at += maker.PartBytes)
                parts.Add(new Part(
                    tensor, maker, at, (int)Math.Min(maker.PartBytes, tensor.Bytes - at),
                    Seed: (seed * OddFactor) ^ ((ulong)index << 40) ^ (ulong)at));
        }
        return parts;
    }

    private void Free()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }

    private sealed record Part(Tensor Tensor, RandomBlocks Maker, long Offset, int Bytes, ulong Seed)
    {
        public void Fill()
        {
            var bytes = new Span<byte>(Tensor.Data + Offset, Bytes);
            Maker.Fill(bytes, Seed);
            if (Tensor.Name.EndsWith("_norm.weight", StringComparison.Ordinal))
                foreach (ref var value in MemoryMarshal.Cast<byte, float>(bytes))
                    value += 1;
        }
    }
}
