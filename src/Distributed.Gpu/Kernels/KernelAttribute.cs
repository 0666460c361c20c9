namespace Distributed.Gpu.Kernels;

/// <summary>
/// Marks a method that a device runs. A generic one is run with every format that its constraint allows.
/// </summary>
/// <param name="since">The compute capability, times ten, of the first cards with CUDA that run it; 0 for all.</param>
[AttributeUsage(AttributeTargets.Method)]
public sealed class KernelAttribute(int since = 0) : Attribute
{
    /// <summary>The compute capability, times ten, of the first cards with CUDA that run it; 0 for all.</summary>
    public int Since { get; } = since;
}
