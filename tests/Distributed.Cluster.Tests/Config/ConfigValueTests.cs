using Distributed.Cluster.Config;

namespace Distributed.Cluster.Tests.Config;

public class ConfigValueTests
{
    [Theory]
    [InlineData("10GiB", 10L << 30)]
    [InlineData("1.5GiB", 3L << 29)]
    [InlineData("512 MiB", 512L << 20)]
    [InlineData("1KiB", 1024)]
    [InlineData("7B", 7)]
    [InlineData("8192TiB", 1L << 53)]
    public void Sizes_are_read_with_binary_units(string text, long bytes)
    {
        Assert.True(ByteSize.TryParse(text, out var read));
        Assert.Equal(bytes, read);
    }

    [Theory]
    [InlineData("")]
    [InlineData("10")]
    [InlineData("10GB")]
    [InlineData("10gib")]
    [InlineData("GiB")]
    [InlineData("0GiB")]
    [InlineData("-1GiB")]
    [InlineData("1e3GiB")]
    [InlineData("1,5GiB")]
    [InlineData("0.1B")]
    [InlineData("9999TiB")]
    [InlineData("99999999999999999999999999999GiB")]
    public void What_is_no_size_is_refused(string text) => Assert.False(ByteSize.TryParse(text, out _));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(1024, "1 KiB")]
    [InlineData(9878424781, "9.2 GiB")]
    [InlineData(-(3L << 29), "-1.5 GiB")]
    public void Sizes_are_written_in_their_largest_unit(long bytes, string text) => Assert.Equal(text, ByteSize.Format(bytes));

    [Theory]
    [InlineData("0-9", 0, 10)]
    [InlineData("3", 3, 4)]
    [InlineData("3-3", 3, 4)]
    [InlineData("0 - 9", 0, 10)]
    public void Layer_ranges_include_both_ends(string text, int first, int end)
    {
        Assert.True(LayerRange.TryParse(text, out var range));
        Assert.Equal((first, end), (range.First, range.End));
    }

    [Theory]
    [InlineData("")]
    [InlineData("-")]
    [InlineData("-3")]
    [InlineData("3-")]
    [InlineData("9-0")]
    [InlineData("1-2-3")]
    [InlineData("0-2147483647")]
    [InlineData("99999999999")]
    public void What_is_no_layer_range_is_refused(string text) => Assert.False(LayerRange.TryParse(text, out _));

    [Theory]
    [InlineData("250ms", 0.25)]
    [InlineData("10s", 10)]
    [InlineData("2m", 120)]
    [InlineData("24h", 86400)]
    public void Durations_are_read_with_their_unit(string text, double seconds)
    {
        Assert.True(Duration.TryParse(text, out var time));
        Assert.Equal(TimeSpan.FromSeconds(seconds), time);
    }

    [Theory]
    [InlineData("")]
    [InlineData("10")]
    [InlineData("s")]
    [InlineData("0s")]
    [InlineData("-1s")]
    [InlineData("NaNs")]
    [InlineData("∞s")]
    [InlineData("25h")]
    [InlineData("1e9s")]
    public void What_is_no_duration_is_refused(string text) => Assert.False(Duration.TryParse(text, out _));
}
