using System.Reflection;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Backends.EntryPoints;

namespace Distributed.Gpu.Tests;

/// <summary>The methods that are compiled for devices.</summary>
internal static class KernelMethods
{
    /// <summary>All methods marked as kernels, generic ones once for each of the formats that their constraints allow.</summary>
    public static IEnumerable<MethodInfo> All()
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

    /// <summary>How the method is called.</summary>
    public static EntryPointDescription EntryOf(MethodInfo kernel) => kernel.GetParameters()[0].ParameterType == typeof(Index1D)
        ? EntryPointDescription.FromImplicitlyGroupedKernel(kernel)
        : EntryPointDescription.FromExplicitlyGroupedKernel(kernel);
}
