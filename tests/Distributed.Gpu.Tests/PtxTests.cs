using System.Reflection;
using System.Text.RegularExpressions;
using Distributed.Gpu.Kernels;

namespace Distributed.Gpu.Tests;

/// <summary>What kernels become on cards with CUDA, from the oldest with tensor cores to Hopper; no card is needed to see it.</summary>
public sealed class PtxTests : IDisposable
{
    private readonly Context _context = Context.Create(builder => builder.WithPackedDot().WithFused());

    public static TheoryData<int> Architectures => [70, 75, 80, 86, 89, 90];

    [Theory, MemberData(nameof(Architectures))]
    public void Every_kernel_compiles_and_keeps_nothing_in_local_memory(int architecture)
    {
        using var backend = Backend(architecture);
        var kernels = Kernels().ToList();
        Assert.True(kernels.Count > 100);
        foreach (var kernel in kernels)
        {
            var ptx = Compile(backend, kernel);
            // ILGPU names no newer target; the driver makes newer code of it.
            Assert.Contains($".target sm_{Math.Min(architecture, 80)}", ptx);
            Assert.DoesNotContain(".local", ptx);
        }
    }

    [Theory, MemberData(nameof(Architectures))]
    public void Products_of_bytes_take_four_at_once_and_load_sixteen_bytes_at_once(int architecture)
    {
        using var backend = Backend(architecture);
        var kernels = Kernels().Where(kernel => kernel.DeclaringType == typeof(Int8MatVecKernels) && kernel.Name is ("One" or "Four")).ToList();
        Assert.Equal(6, kernels.Count);
        foreach (var kernel in kernels)
        {
            var ptx = Compile(backend, kernel);
            var tokens = kernel.Name == "Four" ? 4 : 1;
            // Eight words a block for each input; weights, and two loads of each input.
            Assert.Equal(8 * tokens, Regex.Count(ptx, @"\bdp4a\.s32\.s32\b"));
            Assert.Equal(tokens, Regex.Count(ptx, @"\bfma\.rn\.f32\b"));
            Assert.InRange(Regex.Count(ptx, @"\bld\.(global\.)?v4\.b32\b"), 1 + (2 * tokens), 3 + (2 * tokens));
        }
    }

    public void Dispose() => _context.Dispose();

    /// <summary>All methods marked as kernels, generic ones once for each of the formats that their constraints allow.</summary>
    private static IEnumerable<MethodInfo> Kernels()
    {
        var types = typeof(KernelAttribute).Assembly.GetTypes();
        foreach (var method in types.SelectMany(type => type.GetMethods()).Where(method => method.IsDefined(typeof(KernelAttribute))))
        {
            if (!method.IsGenericMethod)
            {
                yield return method;
                continue;
            }

            var constraint = method.GetGenericArguments()[0].GetGenericParameterConstraints().Single(type => type.IsInterface);
            foreach (var format in types.Where(type => type.IsValueType && type.IsAssignableTo(constraint)))
                yield return method.MakeGenericMethod(format);
        }
    }

    private static string Compile(PTXBackend backend, MethodInfo kernel)
    {
        var isIndexed = kernel.GetParameters()[0].ParameterType == typeof(Index1D);
        var entry = isIndexed
            ? EntryPointDescription.FromImplicitlyGroupedKernel(kernel)
            : EntryPointDescription.FromExplicitlyGroupedKernel(kernel);
        return ((PTXCompiledKernel)backend.Compile(entry, KernelSpecialization.Empty)).PTXAssembly;
    }

    private PTXBackend Backend(int architecture) => new(
        _context, new CudaArchitecture(architecture / 10, architecture % 10), CudaInstructionSet.ISA_78, null!);
}
