namespace Distributed.Cpu.Tests;

public class CpuBackendTests
{
    [Fact]
    public void Q8_0_keys_of_heads_that_are_no_multiple_of_32_are_refused()
    {
        using var backend = new CpuBackend(1);
        var error = Assert.Throws<InvalidInputException>(
            () => backend.AllocateKv(1, 1, new AttentionShape(4, 4, 48, 1), KvType.Q8_0));
        Assert.Contains("48", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Heads_too_large_for_the_kernels_are_refused()
    {
        using var backend = new CpuBackend(1);
        Assert.Throws<InvalidInputException>(() => backend.AllocateKv(1, 1, new AttentionShape(1, 1, 513, 1), KvType.F32));
    }

    [Fact]
    public void The_cache_takes_what_was_forecast()
    {
        using var backend = new CpuBackend(1);
        foreach (var type in Enum.GetValues<KvType>())
        {
            using var kv = backend.AllocateKv(3, 5, new AttentionShape(8, 2, 64, 1), type);
            Assert.Equal(2 * 3 * 5 * StageSpec.KvBlockTokens * type.Bytes(128), kv.Bytes);
        }
    }

    [Fact]
    public void Inputs_larger_than_reserved_are_refused()
    {
        using var backend = new CpuBackend(1);
        backend.Reserve(2, 32);
        using var x = backend.Allocate(3, 32);
        using var y = backend.Allocate(3, 8);
        var weight = backend.Load(Testing.TestTensors.Of(new float[32 * 8], 32, 8));
        backend.MatMulAdd(x, 2, weight, y);
        Assert.Throws<InvalidOperationException>(() => backend.MatMulAdd(x, 3, weight, y));
    }
}
