using System.Reflection;
using Distributed.Core;
using Distributed.Testing.Ops;
using Xunit.Sdk;

namespace Distributed.Gpu.Tests;

/// <summary>
/// The tests of operations and of models on a card, <c>cuda:0</c> or the one that DISTRIBUTED_TEST_DEVICE names; skipped, by name, where there is none. A test that a class
/// inherits cannot be skipped in it alone, so these classes are hidden from the runner and their tests called from here.
/// </summary>
public class CudaTests
{
    private static readonly Type[] Classes =
    [
        typeof(CudaMatMulTests), typeof(CudaAttentionTests), typeof(CudaElementwiseTests), typeof(CudaExpertTests), typeof(CudaLogitsTests),
        typeof(CudaPrefillTests), typeof(CudaLongContextTests), typeof(CudaStepTests), typeof(CudaMemoryTests), typeof(CudaLoadTests),
        typeof(CudaFusedTests),
    ];

    public static TheoryData<string, string, int> Cases
    {
        get
        {
            var cases = new TheoryData<string, string, int>();
            foreach (var type in Classes)
                foreach (var method in TestsOf(type))
                    for (var i = 0; i < DataOf(method).Count; i++)
                        cases.Add(type.Name, method.Name, i);
            return cases;
        }
    }

    [CudaTheory, MemberData(nameof(Cases))]
    public void Every_test_passes_on_the_card(string className, string name, int row)
    {
        var type = Classes.Single(type => type.Name == className);
        var method = TestsOf(type).Single(method => method.Name == name);
        method.Invoke(Activator.CreateInstance(type), BindingFlags.DoNotWrapExceptions, null, DataOf(method)[row], null);
    }

    private static IEnumerable<MethodInfo> TestsOf(Type type) =>
        type.GetMethods().Where(method => method.GetCustomAttribute<FactAttribute>() is { Skip: null });

    private static List<object[]> DataOf(MethodInfo method)
    {
        var sources = method.GetCustomAttributes<DataAttribute>().ToList();
        return sources.Count == 0 ? [[]] : [.. sources.SelectMany(source => source.GetData(method))];
    }

    private static GpuBackend CreateBackend() => new(GpuDevices.Open(CudaTheoryAttribute.Device));

    private sealed class CudaMatMulTests : MatMulTests
    {
        protected override IReadOnlyList<Backend> CreateBackends() => [CreateBackend()];
    }

    private sealed class CudaAttentionTests : AttentionTests
    {
        protected override IReadOnlyList<Backend> CreateBackends() => [CreateBackend()];
    }

    private sealed class CudaElementwiseTests : ElementwiseTests
    {
        protected override IReadOnlyList<Backend> CreateBackends() => [CreateBackend()];
    }

    private sealed class CudaExpertTests : ExpertTests
    {
        protected override IReadOnlyList<Backend> CreateBackends() => [CreateBackend()];
    }

    private sealed class CudaLogitsTests : DeviceLogitsTests
    {
        protected override Backend CreateBackend() => CudaTests.CreateBackend();
    }

    private sealed class CudaPrefillTests : PrefillTests
    {
        protected override GpuBackend CreateBackend() => CudaTests.CreateBackend();
    }

    private sealed class CudaLongContextTests : LongContextTests
    {
        protected override GpuBackend CreateBackend() => CudaTests.CreateBackend();
    }

    private sealed class CudaStepTests : StepTests
    {
        protected override GpuBackend CreateBackend() => CudaTests.CreateBackend();
    }

    private sealed class CudaMemoryTests : MemoryTests
    {
        protected override GpuBackend CreateBackend() => CudaTests.CreateBackend();
    }

    private sealed class CudaLoadTests : LoadTests
    {
        protected override GpuBackend CreateBackend() => CudaTests.CreateBackend();
    }

    private sealed class CudaFusedTests : FusedTests
    {
        protected override IReadOnlyList<Backend> CreateBackends() => [CudaTests.CreateBackend()];
    }
}

/// <summary>A theory that needs a card with CUDA; skipped, by name, where there is none.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class CudaTheoryAttribute : TheoryAttribute
{
    public static readonly string Device = Environment.GetEnvironmentVariable("DISTRIBUTED_TEST_DEVICE") ?? "cuda:0";

    private static readonly string? Reason = GpuDevices.Find().Any(card => card.Name == Device) ? null : $"needs {Device}";

    public CudaTheoryAttribute() => Skip = Reason;
}
