using System.Reflection;
using System.Text.RegularExpressions;
using Distributed.Gpu.Formats;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Distributed.Gpu.Tests;

/// <summary>What kernels become on cards with CUDA, from the oldest with tensor cores to Hopper; no card is needed to see it.</summary>
public sealed class PtxTests : IDisposable
{
    private const int Int8Formats = 5;

    // Of Q5_K: two for the lower bits of a block, two for the upper ones, one for its factors.
    private const int MostWeightLoads = 5;

    private readonly Context _context = Context.Create(builder => builder.WithPackedDot().WithFused().WithTensorCore());

    // ILGPU names no target newer than sm_80, and its own choices are the same for 80 to 90.
    public static TheoryData<int> Architectures => [70, 75, 80, 90];

    [Theory, MemberData(nameof(Architectures))]
    public void Every_kernel_compiles_and_keeps_nothing_in_local_memory(int architecture)
    {
        using var backend = Backend(architecture);
        var kernels = KernelMethods.All().Where(kernel => kernel.GetCustomAttribute<KernelAttribute>()!.Since <= architecture).ToList();
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
        var kernels = KernelMethods.All().Where(kernel => kernel.DeclaringType == typeof(Int8MatVecKernels) && kernel.Name != "Embed").ToList();
        Assert.Equal(3 * Int8Formats, kernels.Count);
        foreach (var kernel in kernels)
        {
            var ptx = Compile(backend, kernel);
            var tokens = kernel.Name == "Four" ? 4 : 1;
            // Eight words a block for each input; weights, and two loads of each input.
            Assert.Equal(8 * tokens, Regex.Count(ptx, @"\bdp4a\.s32\.s32\b"));
            Assert.Equal(2 * tokens, Regex.Count(ptx, @"\bfma\.rn\.f32\b"));
            Assert.InRange(Regex.Count(ptx, @"\bld\.(global\.)?v4\.b32\b"), 1 + (2 * tokens), MostWeightLoads + (2 * tokens));
        }
    }

    [Theory, MemberData(nameof(Architectures))]
    public void Tiles_without_tensor_cores_unpack_a_block_once_for_sixteen_inputs(int architecture)
    {
        using var backend = Backend(architecture);
        foreach (var kernel in KernelsOf(typeof(Int8TileKernels), Int8Formats))
        {
            var ptx = Compile(backend, kernel);
            Assert.Equal(8 * Int8TileKernels.TileTokens, Regex.Count(ptx, @"\bdp4a\.s32\.s32\b"));
            // Two of an input, the others of the weights.
            Assert.InRange(Regex.Count(ptx, @"\bld\.(global\.)?v4\.b32\b"), 3, MostWeightLoads + 2);
            Assert.Equal(2 * Int8TileKernels.TileTokens, Regex.Count(ptx, @"\bld\.shared\.v4\.b32\b"));
        }
    }

    [Theory, MemberData(nameof(Architectures))]
    public void Queries_of_a_tile_are_multiplied_four_at_once(int architecture)
    {
        using var backend = Backend(architecture);
        foreach (var kernel in KernelsOf(typeof(TileAttentionKernels), 3))
        {
            var ptx = Compile(backend, kernel);
            Assert.InRange(Regex.Count(ptx, @"\bld\.shared\.v4\.f32\b"), 2, 8);
            Assert.Contains("fma.rn.f32", ptx);
        }
    }

    [Theory, InlineData(80), InlineData(90)]
    public void Tiles_on_tensor_cores_are_eight_instructions_a_step(int architecture)
    {
        using var backend = Backend(architecture);
        foreach (var kernel in KernelsOf(typeof(Int8TensorKernels), Int8Formats))
        {
            var ptx = Compile(backend, kernel);
            const string Four = @"\{%r\d+, %r\d+, %r\d+, %r\d+\}";
            const string Two = @"\{%r\d+, %r\d+\}";
            // Halves with factors of their own take two instructions half as deep.
            var (count, instruction, inputs) = kernel.GetGenericArguments()[0] == typeof(Q6_KPlanes)
                ? (16, "m16n8k16", $@"{Two}, \{{%r\d+\}}")
                : (8, "m16n8k32", $"{Four}, {Two}");
            var products = Regex.Matches(
                ptx, $@"mma\.sync\.aligned\.{instruction}\.row\.col\.s32\.s8\.s8\.s32\s+({Four}), {inputs}, ({Four});");
            Assert.Equal(count, products.Count);
            Assert.All(products, product => Assert.Equal(product.Groups[1].Value, product.Groups[2].Value));
            Assert.DoesNotContain("shfl", ptx);
            Assert.InRange(Regex.Count(ptx, @"\bld\.(global\.)?v4\.b32\b"), 3, MostWeightLoads + 2);
            Assert.Equal(4, Regex.Count(ptx, @"\bst\.shared\.v4\.b32\b"));
        }
    }

    public void Dispose() => _context.Dispose();

    private static List<MethodInfo> KernelsOf(Type type, int count)
    {
        var kernels = KernelMethods.All().Where(kernel => kernel.DeclaringType == type).ToList();
        Assert.Equal(count, kernels.Count);
        return kernels;
    }

    private static string Compile(PTXBackend backend, MethodInfo kernel) =>
        ((PTXCompiledKernel)backend.Compile(KernelMethods.EntryOf(kernel), KernelSpecialization.Empty)).PTXAssembly;

    private PTXBackend Backend(int architecture) => new(
        _context, new CudaArchitecture(architecture / 10, architecture % 10), CudaInstructionSet.ISA_78, null!);
}
