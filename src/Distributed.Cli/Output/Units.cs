using System.Globalization;

namespace Distributed.Cli.Output;

/// <summary>Figures with their units written out.</summary>
internal static class Units
{
    /// <summary>E.g. <c>512 B</c>, <c>5.1 MiB</c>, <c>1.25 GiB</c>; a dash for nothing.</summary>
    public static string Bytes(long bytes) => bytes switch
    {
        0 => "-",
        < 1L << 10 => string.Create(CultureInfo.InvariantCulture, $"{bytes} B"),
        < 1L << 20 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.0} KiB"),
        < 1L << 30 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:0.0} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1073741824.0:0.00} GiB"),
    };

    /// <summary>E.g. <c>1.24 ms</c>, from nanoseconds.</summary>
    public static string Milliseconds(double nanoseconds) =>
        string.Create(CultureInfo.InvariantCulture, $"{nanoseconds / 1e6:0.00} ms");

    /// <summary>E.g. <c>151.3 tok/s</c>.</summary>
    public static string TokensPerSecond(int tokens, TimeSpan time) => time > TimeSpan.Zero
        ? string.Create(CultureInfo.InvariantCulture, $"{tokens / time.TotalSeconds:0.0} tok/s")
        : "- tok/s";

    /// <summary>E.g. <c>5,014,528</c>.</summary>
    public static string Count(long count) => count.ToString("#,0", CultureInfo.InvariantCulture);
}
