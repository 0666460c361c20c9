namespace Distributed.Gpu.Kernels;

/// <summary>
/// Marks a method that a device runs. A generic one is run with every format that its constraint allows.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class KernelAttribute : Attribute;
