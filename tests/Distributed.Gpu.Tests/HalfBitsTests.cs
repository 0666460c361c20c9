using Distributed.Gpu.Kernels;

namespace Distributed.Gpu.Tests;

public class HalfBitsTests
{
    [Fact]
    public void Every_half_has_the_runtimes_value_and_comes_back()
    {
        for (var bits = 0u; bits <= ushort.MaxValue; bits++)
        {
            var expected = (float)BitConverter.UInt16BitsToHalf((ushort)bits);
            var actual = HalfBits.ToSingle(bits);
            if (float.IsNaN(expected))
                Assert.True(float.IsNaN(actual));
            else
                Assert.Equal(BitConverter.SingleToUInt32Bits(expected), BitConverter.SingleToUInt32Bits(actual));
            if (!float.IsNaN(expected))
                Assert.Equal(bits, HalfBits.FromSingle(actual));
        }
    }

    [Fact]
    public void Singles_are_rounded_as_the_runtime_does()
    {
        var random = new Random(1);
        float[] borders = [65519.996f, 65520, -65520, 6.1035e-5f, 2.9802322e-8f, 2.98023259e-8f, float.PositiveInfinity, 0, -0f];
        foreach (var value in borders.Concat(Enumerable.Range(0, 200_000).Select(_ => BitConverter.Int32BitsToSingle(random.Next(0x32000000, 0x48000000)))))
            Assert.Equal(BitConverter.HalfToUInt16Bits((Half)value), HalfBits.FromSingle(value));
        Assert.True(Half.IsNaN(BitConverter.UInt16BitsToHalf(HalfBits.FromSingle(float.NaN))));
    }
}
