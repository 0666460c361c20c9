using ILGPU.Runtime;

namespace Distributed.Gpu;

/// <summary>What one kernel took on the device.</summary>
/// <param name="Kernel">Its name, with the format that it reads, where it is one of a format.</param>
/// <param name="Launches">How often it was launched.</param>
/// <param name="Time">All launches together, each with what the device waited behind it for the next.</param>
public sealed record KernelTime(string Kernel, int Launches, TimeSpan Time);

/// <summary>
/// Takes down when a device comes to each kernel of one backend, where somebody wants to know; else it does nothing. Times are the
/// device's own, between two markers in its stream: the host neither waits for one nor between two.
/// </summary>
internal sealed class KernelClock
{
    private readonly List<(string Kernel, string? Format, ProfilingMarker At)> _marks = [];
    private AcceleratorStream? _stream;

    /// <summary>Begins with what is enqueued next on a stream; launches on other streams may not come before the end.</summary>
    public void Start(AcceleratorStream stream)
    {
        Clear();
        _stream = stream;
    }

    /// <summary>Told before each launch.</summary>
    /// <param name="kernel">What comes.</param>
    /// <param name="format">The format that it reads; null for none.</param>
    public void Next(string kernel, string? format = null)
    {
        if (_stream is not null)
            _marks.Add((kernel, format, _stream.AddProfilingMarker()));
    }

    /// <summary>Waits for the device and ends.</summary>
    /// <returns>A row for each kernel, those first that took longest.</returns>
    public IReadOnlyList<KernelTime> Stop()
    {
        Next("");
        _stream?.Synchronize();
        _stream = null;
        var times = _marks.Zip(_marks.Skip(1), (mark, next) => (Name: $"{mark.Kernel} {mark.Format}".TrimEnd(), Time: next.At.MeasureFrom(mark.At)))
            .GroupBy(launch => launch.Name)
            .Select(launches => new KernelTime(
                launches.Key, launches.Count(), TimeSpan.FromTicks(launches.Sum(launch => launch.Time.Ticks))))
            .OrderByDescending(kernel => kernel.Time)
            .ToList();
        Clear();
        return times;
    }

    private void Clear()
    {
        _marks.ForEach(mark => mark.At.Dispose());
        _marks.Clear();
    }
}
