using System.Globalization;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core.Quantization;
using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>What devices can do.</summary>
internal static class ProfileTable
{
    private static readonly int[] Tokens = [1, 8, 256];

    /// <summary>A row for each format of weights: bytes of weights a second, and operations a second, two to a multiply-add.</summary>
    /// <param name="profiles">The profiles, each with the name to print for its device.</param>
    public static Table OfProducts(IReadOnlyList<(string Name, DeviceProfile Profile)> profiles)
    {
        var table = Tables.Create(
            ["device", ">threads", "weights", ">GB/s in cache", .. Tokens.Select(tokens => $">GB/s × {tokens}"),
             .. Tokens.Select(tokens => $">Gop/s × {tokens}")]);
        foreach (var (name, profile) in profiles)
        {
            foreach (var type in profile.Types_)
            {
                table.Line(
                    [name, $"{profile.Threads}", type.Type, Rate(1 / type.ByBytes[0].SecondsPerByte),
                     .. Tokens.Select(tokens => Rate(1 / ProductTimes.OfTokens(type, tokens))),
                     .. Tokens.Select(tokens => Rate(2 * tokens * ValuesPerByte(type.Type) / ProductTimes.OfTokens(type, tokens)))]);
            }
        }

        return table;
    }

    /// <summary>A row for each device: all that is not products.</summary>
    public static Table OfTheRest(IReadOnlyList<(string Name, DeviceProfile Profile)> profiles)
    {
        var table = Tables.Create(
            "device", ">GB/s read", ">µs per layer", ">µs per step", ">µs per 32k logits", "KV", ">ns per key, 1 token", ">many tokens", "measured");
        foreach (var (name, profile) in profiles)
        {
            var few = profile.Layer.ByTokens[0];
            foreach (var attention in profile.Attention)
            {
                table.Line(
                    name, Rate(profile.ReadBytesPerSecond), Micro(few.SecondsPerLayer), Micro(few.SecondsPerStep),
                    Micro(profile.SecondsPerLogit * 32768), attention.KvType, Nano(attention.DecodePerValue * 1024),
                    Nano(attention.PrefillPerValue * 1024),
                    DateTimeOffset.FromUnixTimeMilliseconds(profile.MeasuredUnixMs).ToString("u", CultureInfo.InvariantCulture));
            }
        }

        return table;
    }

    private static double ValuesPerByte(string name)
    {
        var type = QuantTypes.ByName(name);
        return (double)type.BlockLength / type.BlockBytes;
    }

    private static string Rate(double perSecond) => (perSecond / 1e9).ToString("0.0", CultureInfo.InvariantCulture);

    private static string Micro(double seconds) => (seconds * 1e6).ToString("0.0", CultureInfo.InvariantCulture);

    private static string Nano(double seconds) => (seconds * 1e9).ToString("0.0", CultureInfo.InvariantCulture);
}
