using Distributed.Cli.Output;
using Distributed.Coordinator;
using Distributed.Coordinator.Tracing;
using Distributed.Core;

namespace Distributed.Cli.Tracing;

/// <summary>
/// A trace of all steps, written at the end in one go: while the steps run, only moments are kept. Without
/// <see cref="WriteAsync"/> no file is left.
/// </summary>
internal sealed class TraceFile : IDisposable
{
    private static readonly TimeSpan ClockTimeout = TimeSpan.FromSeconds(2);

    private readonly PartialFile _file;
    private readonly string _path;

    /// <param name="flag">The flag that names the file, for errors.</param>
    /// <param name="path">The file.</param>
    /// <param name="layers">Trace each layer.</param>
    /// <exception cref="InvalidInputException">It cannot be written.</exception>
    public TraceFile(string flag, string path, bool layers)
    {
        _file = new PartialFile(flag, path);
        _path = path;
        Recorder = new StepRecorder(layers);
    }

    /// <summary>What keeps the moments; for <see cref="Pipeline.Recorder"/>.</summary>
    public StepRecorder Recorder { get; }

    /// <summary>Writes what has been recorded so far.</summary>
    /// <param name="pipeline">What ran; its workers may be lost.</param>
    /// <param name="model">The model's shape.</param>
    /// <param name="terminal">Told of the file.</param>
    /// <exception cref="InvalidInputException">The file that is there cannot be replaced.</exception>
    /// <exception cref="IOException">The disk is full.</exception>
    public async Task WriteAsync(Pipeline pipeline, ModelConfig model, Terminal terminal)
    {
        var clocks = pipeline.Clocks;
        using (var patience = new CancellationTokenSource(ClockTimeout))
            await Task.WhenAll(clocks.Distinct().Select(clock => clock.CompareAsync(patience.Token)))
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var steps = Recorder.Read(clocks);
        using (var buffer = new BufferedStream(_file.Stream, 1 << 16))
            new ChromeTrace(pipeline.Placement, model, clocks).Write(buffer, steps, Recorder.Dropped);
        _file.Complete();
        terminal.Error.WriteLine($"trace of {steps.Count} steps: {_path}");
        if (Recorder.Dropped > 0)
            terminal.Error.WriteLine($"warning: {Recorder.Dropped} more steps are not in the trace, which was full");
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
