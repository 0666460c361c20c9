using Distributed.Cluster.Protocol;

namespace Distributed.Cluster;

/// <summary>Judges a profile from a file or from another node: figures that are no figures would make plans that are none.</summary>
public static class SoundProfile
{
    /// <summary>Whether every figure is one, and there are enough to read between.</summary>
    public static bool Is(DeviceProfile profile) =>
        profile.Threads > 0
        && profile.Layer is { ByTokens.Count: > 0 } layer
        && Rises(layer.ByTokens.Select(time => (long)time.Tokens))
        && layer.ByTokens.All(time => IsTime(time.SecondsPerLayer) && IsTime(time.SecondsPerStep) && IsTime(time.SecondsPerValue))
        && IsTime(profile.SecondsPerLogit)
        && profile.ReadBytesPerSecond is > 0 and < double.PositiveInfinity
        && profile.Types_.All(Is)
        && profile.Types_.DistinctBy(type => type.Type).Count() == profile.Types_.Count
        && profile.Attention.All(time => IsTime(time.DecodePerToken) && IsTime(time.DecodePerValue)
            && IsTime(time.PrefillPerToken) && IsTime(time.PrefillPerValue));

    private static bool Is(TypeProfile type) =>
        type.ByTokens.Count > 0
        && type.ByBytes.Count > 0
        && Rises(type.ByTokens.Select(time => (long)time.Tokens))
        && Rises(type.ByBytes.Select(time => time.Bytes))
        && Rises(type.ByColumns.Select(time => (long)time.Columns))
        && type.ByTokens.Concat(type.ByBytes).Concat(type.ByColumns).All(time => time.SecondsPerByte > 0 && IsTime(time.SecondsPerByte));

    private static bool Rises(IEnumerable<long> points)
    {
        var before = 0L;
        foreach (var point in points)
        {
            if (point <= before)
                return false;
            before = point;
        }

        return true;
    }

    private static bool IsTime(double seconds) => double.IsFinite(seconds) && seconds >= 0;
}
