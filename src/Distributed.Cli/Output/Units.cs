using System.Globalization;
using Distributed.Core;

namespace Distributed.Cli.Output;

/// <summary>Figures with their units written out.</summary>
internal static class Units
{
    /// <summary>E.g. <c>512 B</c>, <c>5.1 MiB</c>, <c>1.3 GiB</c>; a dash for nothing.</summary>
    public static string Bytes(long bytes) => bytes == 0 ? "-" : ByteSize.Format(bytes);

    /// <summary>E.g. <c>0.42 ms</c>.</summary>
    public static string Milliseconds(double milliseconds) => string.Create(CultureInfo.InvariantCulture, $"{milliseconds:0.00} ms");

    /// <summary>E.g. <c>142 µs</c>.</summary>
    public static string Microseconds(double microseconds) => string.Create(CultureInfo.InvariantCulture, $"{microseconds:0} µs");

    /// <summary>E.g. <c>151.3 tok/s</c>; a dash where nothing was measured.</summary>
    public static string TokensPerSecond(double rate) =>
        rate > 0 ? string.Create(CultureInfo.InvariantCulture, $"{rate:0.0} tok/s") : "- tok/s";

    /// <summary>E.g. <c>5,014,528</c>.</summary>
    public static string Count(long count) => count.ToString("#,0", CultureInfo.InvariantCulture);
}
