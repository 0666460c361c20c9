using System.Runtime.CompilerServices;

// Kernels are internal where nothing but a device calls them; the launchers that ILGPU makes live in an assembly of their own.
[assembly: InternalsVisibleTo(ILGPU.Context.RuntimeAssemblyName)]
