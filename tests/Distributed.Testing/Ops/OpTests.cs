using Distributed.Core;
using Xunit;

namespace Distributed.Testing.Ops;

/// <summary>The base of the tests of operations: one abstract body per operation, one subclass per device.</summary>
public abstract class OpTests
{
    /// <summary>The backends to test; several where a device has several paths. The caller disposes of them.</summary>
    protected abstract IReadOnlyList<Backend> CreateBackends();

    /// <summary>Runs a test on each backend, with scratch for the sizes the tests use.</summary>
    protected void OnEach(Action<Backend> test)
    {
        var backends = CreateBackends();
        Assert.NotEmpty(backends);
        foreach (var backend in backends)
        {
            using (backend)
            {
                backend.Reserve(96, 1024);
                test(backend);
            }
        }
    }

    /// <summary>A matrix on the device.</summary>
    protected static Activations Upload(Backend backend, float[] values, int columns)
    {
        var rows = values.Length / columns;
        var activations = backend.Allocate(rows, columns);
        backend.Upload(values, activations, rows);
        return activations;
    }

    /// <summary>The first rows of a matrix.</summary>
    protected static float[] Download(Backend backend, Activations activations, int rows)
    {
        var values = new float[rows * activations.Columns];
        backend.Download(activations, rows, values);
        return values;
    }

    /// <summary>Values of a normal distribution.</summary>
    protected static float[] Normal(int count, int seed)
    {
        var random = new Random(seed);
        var values = new float[count];
        for (var i = 0; i < count; i++)
            values[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }

    /// <summary>Asserts that each value lies within a tolerance of its own.</summary>
    protected static void AssertNear(double[] expected, double[] tolerance, float[] actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.True(
                Math.Abs(expected[i] - actual[i]) <= tolerance[i],
                $"{what}: value {i} is {actual[i]}, not {expected[i]} ± {tolerance[i]}");
    }

    /// <summary>Asserts that each value lies within one tolerance.</summary>
    protected static void AssertNear(double[] expected, double tolerance, float[] actual, string what) =>
        AssertNear(expected, [.. expected.Select(_ => tolerance)], actual, what);
}
