
namespace Distributed.Cli.Bench;

/// <summary>How long a new process takes to the first token of a model whose file is in the page cache. Times are milliseconds, medians.</summary>
internal sealed record StartupRow
{
    /// <summary><c>startup</c>.</summary>
    public string Test { get; } = "startup";

    /// <summary>The model's name, or the shape's.</summary>
    public required string Model { get; init; }

    /// <summary>The format of the weights.</summary>
    public required string Type { get; init; }

    /// <summary>Tokens of the prompt.</summary>
    public int Tokens { get; } = 1;

    /// <summary>Threads that compute.</summary>
    public required int Threads { get; init; }

    /// <summary>Worker processes: none.</summary>
    public int Workers { get; }

    /// <summary>The kind of device.</summary>
    public string Device { get; } = "cpu";

    /// <summary>Processes started.</summary>
    public required int Repeats { get; init; }

    /// <summary>Bytes of the file.</summary>
    public required long FileBytes { get; init; }

    /// <summary>From the start of the process to the first token.</summary>
    public required double ProcessToTokenMs { get; init; }

    /// <summary>From opening the file to the first token.</summary>
    public required double OpenToTokenMs { get; init; }

    /// <summary>The standard deviation of <see cref="OpenToTokenMs"/>.</summary>
    public required double Stdev { get; init; }

    /// <summary>The least of <see cref="OpenToTokenMs"/>.</summary>
    public required double Min { get; init; }

    /// <summary>The most of <see cref="OpenToTokenMs"/>.</summary>
    public required double Max { get; init; }

    /// <summary>Where the time went: one process's, part by part.</summary>
    public required StartupProbe Parts { get; init; }

    /// <summary>Reading the file once from the page cache, between the processes.</summary>
    public required double ReadMs { get; init; }

    /// <summary><see cref="OpenToTokenMs"/> / <see cref="ReadMs"/>.</summary>
    public required double TimesRead { get; init; }

    /// <summary>What it was measured on.</summary>
    public Machine Machine { get; } = Machine.This;

    /// <summary>Fills in what follows from the processes' own times.</summary>
    public static StartupRow Of(
        BenchModel model, int threads, IReadOnlyList<StartupProbe> probes, IReadOnlyList<double> reads)
    {
        double[] opened = [.. probes.Select(probe => probe.Open + probe.Load + probe.Token)];
        var (median, read) = (Statistics.Median(opened), Statistics.Median(reads));
        return new StartupRow
        {
            Model = model.Model.Config.Name,
            Type = model.Type,
            Threads = threads,
            Repeats = probes.Count,
            FileBytes = model.Model.Bytes,
            ProcessToTokenMs = Statistics.Median(opened.Zip(probes, (rest, probe) => rest + probe.Process)),
            OpenToTokenMs = median,
            Stdev = Statistics.Deviation(opened),
            Min = opened.Min(),
            Max = opened.Max(),
            Parts = probes.MinBy(probe => Math.Abs(probe.Open + probe.Load + probe.Token - median))!,
            ReadMs = read,
            TimesRead = median / read,
        };
    }
}
