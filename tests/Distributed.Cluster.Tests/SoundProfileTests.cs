using Distributed.Cluster.Protocol;

namespace Distributed.Cluster.Tests;

public class SoundProfileTests
{
    public static TheoryData<string> Faults => [.. Changes.Keys];

    private static readonly Dictionary<string, Action<DeviceProfile>> Changes = new()
    {
        ["no threads"] = profile => profile.Threads = 0,
        ["no layer"] = profile => profile.Layer = null,
        ["no layer times"] = profile => profile.Layer.ByTokens.Clear(),
        ["no products"] = profile => profile.Types_[0].ByTokens.Clear(),
        ["no product by bytes"] = profile => profile.Types_[0].ByBytes.Clear(),
        ["free products"] = profile => profile.Types_[0].ByTokens[0].SecondsPerByte = 0,
        ["no number"] = profile => profile.SecondsPerLogit = double.NaN,
        ["endless"] = profile => profile.Attention[0].PrefillPerValue = double.PositiveInfinity,
        ["zero tokens"] = profile => profile.Types_[0].ByTokens[0].Tokens = 0,
        ["the same tokens twice"] = profile => profile.Types_[0].ByTokens.Add(profile.Types_[0].ByTokens[^1].Clone()),
        ["a format twice"] = profile => profile.Types_.Add(profile.Types_[0].Clone()),
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public void A_profile_with_figures_that_are_none_is_told(string fault)
    {
        var profile = Profile();
        Assert.True(SoundProfile.Is(profile));
        Changes[fault](profile);
        Assert.False(SoundProfile.Is(profile));
    }

    private static DeviceProfile Profile() => new()
    {
        Threads = 2,
        ReadBytesPerSecond = 1e10,
        SecondsPerLogit = 1e-9,
        Layer = new LayerProfile { ByTokens = { new LayerTime { Tokens = 1, SecondsPerLayer = 1e-6 } } },
        Attention = { new AttentionProfile { KvType = "f16" } },
        Types_ =
        {
            new TypeProfile
            {
                Type = "Q4_0",
                ByTokens = { new ProductTime { Tokens = 1, SecondsPerByte = 1e-10 }, new ProductTime { Tokens = 8, SecondsPerByte = 2e-10 } },
                ByBytes = { new ProductTime { Tokens = 1, Bytes = 1 << 20, SecondsPerByte = 1e-10 } },
            },
        },
    };
}
