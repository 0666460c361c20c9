using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Gpu;
using Distributed.Worker.Profiling;

namespace Distributed.Worker.Tests.Profiling;

public class GpuProbeTests
{
    // What takes a card no time takes its stand-in minutes.
    private static readonly ProbeSizes Tiny =
        new() { Width = 1024, MostBytes = 288 << 10, MostTokens = 8, MoreLayers = 2, ManyKeys = 256, Queries = 8 };

    [Fact]
    public void A_card_is_measured_by_the_operations_of_its_stages()
    {
        var device = Assert.Single(new DeviceInventory(new WorkerOptions { Name = "w", Devices = [GpuDevices.CpuName] }).All);
        var profile = new DeviceProfile { Device = device.Name };

        DeviceProbe.Complete(device, profile, [Q4_0.Type], [KvType.F16], Tiny, default);

        Assert.Equal(["F32", "Q8_0", "Q4_0"], profile.Types_.Select(type => type.Type));
        Assert.All(profile.Types_, type =>
        {
            Assert.Equal([1, 2, 4, 8], type.ByTokens.Select(time => time.Tokens));
            Assert.Equal([256, 512, 1024], type.ByColumns.Select(time => time.Columns));
            Assert.All([.. type.ByTokens, .. type.ByBytes, .. type.ByColumns], time => Assert.True(time.SecondsPerByte > 0));
        });
        Assert.Equal(["f16"], profile.Attention.Select(known => known.KvType));
        // What a key adds may be less than the clock is unsteady.
        Assert.All(profile.Attention, known => Assert.True(
            known.DecodePerToken + known.DecodePerValue > 0 && known.PrefillPerToken + known.PrefillPerValue > 0));
        Assert.Equal([1, 8], profile.Layer.ByTokens.Select(time => time.Tokens));
        Assert.All(profile.Layer.ByTokens, time => Assert.True(time.SecondsPerValue > 0));
        Assert.True(profile.ReadBytesPerSecond > 0 && profile.SecondsPerLogit > 0);
    }
}
