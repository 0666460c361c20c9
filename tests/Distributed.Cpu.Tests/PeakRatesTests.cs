using Distributed.Testing;

namespace Distributed.Cpu.Tests;

public class PeakRatesTests
{
    [Fact]
    public void Every_instruction_set_multiplies_at_a_rate_that_processors_have()
    {
        using var threads = new CpuThreads(2);
        foreach (var instructions in InstructionSetPaths.Supported)
        {
            // One operation a nanosecond is slow, 10 000 of them are more than two cores have.
            Assert.InRange(PeakRates.ByteRate(threads, instructions), 1e8, 1e13);
            Assert.InRange(PeakRates.FloatRate(threads, instructions), 1e8, 1e13);
        }
    }

    [Fact]
    public void Buffer_is_read_at_a_rate_that_memory_or_caches_have()
    {
        using var rates = new PeakRates(8 << 20);
        using var threads = new CpuThreads(2);

        Assert.Equal(8 << 20, rates.BufferBytes);
        Assert.InRange(rates.ReadRate(threads), 1e8, 1e13);
        Assert.InRange(PeakRates.DefaultBufferBytes, 1L << 30, 4L << 30);
    }
}
