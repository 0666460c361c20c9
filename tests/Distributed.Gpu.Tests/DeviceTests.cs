namespace Distributed.Gpu.Tests;

public class DeviceTests
{
    [Theory]
    [InlineData(0, true, "0 of its threads")]
    [InlineData(1, true, "1 of its threads")]
    [InlineData(48, true, "48 of its threads")]
    [InlineData(256, true, "256 of its threads")]
    [InlineData(32, false, "no sub-groups")]
    public void A_card_whose_threads_do_not_suit_is_refused_with_the_reason(int warpSize, bool canShuffle, string reason) =>
        Assert.Contains(reason, GpuDevices.WhyUnfit(warpSize, canShuffle), StringComparison.Ordinal);

    [Fact]
    public void Warps_that_cards_have_are_taken() =>
        Assert.All([2, 8, 16, 32, 64, 128], warpSize => Assert.Null(GpuDevices.WhyUnfit(warpSize, canShuffle: true)));

    [Theory]
    [InlineData("cuda:999", "cuda")]
    [InlineData("opencl:999", "opencl")]
    public void A_device_that_is_not_there_is_refused_with_the_reason_or_those_there_are(string name, string kind)
    {
        var error = Assert.Throws<Core.InvalidInputException>(() => GpuDevices.Open(name));

        var missing = GpuDevices.WhyMissing(name);
        Assert.Equal(GpuDevices.Find().All(card => !card.Name.StartsWith(kind, StringComparison.Ordinal)), missing is not null);
        Assert.Contains(missing ?? "must be one of ", error.Message, StringComparison.Ordinal);
        Assert.Null(GpuDevices.WhyMissing(GpuDevices.CpuName));
    }
}
