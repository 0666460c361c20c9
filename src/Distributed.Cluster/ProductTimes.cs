using Distributed.Cluster.Protocol;

namespace Distributed.Cluster;

/// <summary>Reads between the points of a profile.</summary>
public static class ProductTimes
{
    /// <summary>Seconds for each byte of weights that come from memory, all tokens of a step together.</summary>
    /// <param name="profile">The format's figures; at least one.</param>
    /// <param name="tokens">Tokens, 1 or more; between two points in proportion, beyond the last one in proportion to the tokens.</param>
    public static double OfTokens(TypeProfile profile, double tokens)
    {
        var points = profile.ByTokens;
        var last = points[^1];
        if (tokens >= last.Tokens)
            return last.SecondsPerByte * tokens / last.Tokens;
        var next = 0;
        while (points[next].Tokens < tokens)
            next++;
        if (next == 0)
            return points[0].SecondsPerByte;
        var (a, b) = (points[next - 1], points[next]);
        return a.SecondsPerByte + ((b.SecondsPerByte - a.SecondsPerByte) * (tokens - a.Tokens) / (b.Tokens - a.Tokens));
    }

    /// <summary>How many times what the rows of all other figures cost rows of a length cost with one token.</summary>
    /// <param name="profile">The format's figures.</param>
    /// <param name="columns">Values per row; between two points by the inverse of the length, as what is done once for each row; 1 for longer ones.</param>
    public static double OfColumns(TypeProfile profile, double columns)
    {
        var points = profile.ByColumns;
        if (points.FirstOrDefault(point => point.Columns == profile.ByTokens[0].Columns) is not { } other)
            return 1;
        if (columns >= other.Columns || points.Count == 1)
            return 1;
        var next = 1;
        while (next < points.Count - 1 && columns > points[next].Columns)
            next++;
        var (a, b) = (points[next - 1], points[next]);
        var part = ((1 / Math.Max(columns, a.Columns)) - (1.0 / b.Columns)) / ((1.0 / a.Columns) - (1.0 / b.Columns));
        return Math.Max(1, (b.SecondsPerByte + ((a.SecondsPerByte - b.SecondsPerByte) * part)) / other.SecondsPerByte);
    }

    /// <summary>Seconds for each byte with one token, where so many bytes are read again and again.</summary>
    /// <param name="profile">The format's figures; at least one.</param>
    /// <param name="bytes">Bytes; between two points by their logarithm.</param>
    public static double Cached(TypeProfile profile, double bytes)
    {
        var points = profile.ByBytes;
        if (bytes <= points[0].Bytes)
            return points[0].SecondsPerByte;
        for (var i = 1; i < points.Count; i++)
        {
            var (a, b) = (points[i - 1], points[i]);
            if (bytes <= b.Bytes)
            {
                var part = Math.Log(bytes / a.Bytes) / Math.Log((double)b.Bytes / a.Bytes);
                return a.SecondsPerByte + ((b.SecondsPerByte - a.SecondsPerByte) * part);
            }
        }

        return points[^1].SecondsPerByte;
    }
}
