using System.Runtime.CompilerServices;
using Distributed.Core;
using Distributed.Cpu.Kernels;

namespace Distributed.Cpu;

/// <summary>The kinds of quantised weights that one input meets, each with a slot for its terms; none when all take float32.</summary>
internal readonly struct TermKinds
{
    private readonly FourKinds _kinds;

    /// <param name="weights">At most <see cref="CpuBackend.MaxProducts"/>.</param>
    public TermKinds(ReadOnlySpan<Weight> weights)
    {
        foreach (var weight in weights)
        {
            var kernel = ((CpuWeight)weight).Kernel;
            if (kernel.Terms is not { } terms)
                AnyTakesFloats = true;
            else if (SlotOf(kernel) < 0)
                _kinds[Count++] = terms;
        }
    }

    /// <summary>Kinds.</summary>
    public int Count { get; }

    /// <summary>Some of the weights take float32.</summary>
    public bool AnyTakesFloats { get; }

    /// <summary>What each slot holds.</summary>
    [System.Diagnostics.CodeAnalysis.UnscopedRef]
    public ReadOnlySpan<InputTerms> Kinds => ((ReadOnlySpan<InputTerms>)_kinds)[..Count];

    /// <summary>The slot of a kernel's terms; −1 when it has none.</summary>
    public int SlotOf(MatMulKernel kernel) => kernel.Terms is { } terms ? Kinds.IndexOf(terms) : -1;

    [InlineArray(Int8Input.Slots)]
    private struct FourKinds
    {
        private InputTerms _first;
    }
}
