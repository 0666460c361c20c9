using System.Diagnostics;
using System.Globalization;
using Distributed.Cli.Output;
using Distributed.Core;
using Distributed.Core.Synthetic;

namespace Distributed.Cli.Bench;

/// <summary>The model that is timed: a file, or random weights made for the purpose.</summary>
internal sealed class BenchModel : IDisposable
{
    // What says where temporary files go.
    private const string TemporaryFolder = "TMPDIR";

    private readonly string? _temporary;

    private BenchModel(ModelFile model, string? type, string? temporary) => (Model, Type, _temporary) = (model, type ?? MainType(model), temporary);

    /// <summary>The model.</summary>
    public ModelFile Model { get; }

    /// <summary>The format or mix of random weights; of a file, the format that most of its bytes are in.</summary>
    public string Type { get; }

    /// <summary>Opens a file.</summary>
    /// <exception cref="InvalidInputException">It is no model that runs.</exception>
    public static BenchModel Open(string path) => new(ModelFile.Open(path), null, null);

    /// <summary>Makes random weights.</summary>
    /// <param name="terminal">Told how long it took.</param>
    /// <param name="plan">What to make.</param>
    /// <param name="seed">The same seed gives the same weights.</param>
    /// <param name="save">A file to write them to; null for none.</param>
    /// <param name="asFile">Workers must be able to open them: without <paramref name="save"/>, a file that goes with this object.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">The file cannot be written.</exception>
    public static BenchModel Make(
        Terminal terminal, SyntheticPlan plan, ulong seed, string? save, bool asFile, CancellationToken cancellation)
    {
        var file = save ?? (asFile ? Path.Combine(Path.GetTempPath(), $"distributed-bench-{Environment.ProcessId}.gguf") : null);
        // Before the work, so that a file that cannot be written is known at once.
        using var output = file is null ? null : new PartialFile(save is null ? TemporaryFolder : "--save", file);
        CheckDisk(output, save is null ? TemporaryFolder : "--save", file, plan.Bytes);
        var clock = Stopwatch.StartNew();
        var model = new SyntheticModel(plan, seed, cancellation);
        try
        {
            terminal.Error.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{model.Path}: {Units.Bytes(model.Bytes)} of random weights made in {clock.Elapsed.TotalSeconds:0.0} s"));
            if (output is null)
                return new BenchModel(new ModelFile(model), plan.Types.Name, null);
            using (var buffer = new BufferedStream(output.Stream, 1 << 20))
                model.Save(buffer, cancellation);
            output.Complete();
            model.Dispose();
            return new BenchModel(ModelFile.Open(file!), plan.Types.Name, save is null ? file : null);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Model.Dispose();
        if (_temporary is not null)
            File.Delete(_temporary);
    }

    private static void CheckDisk(PartialFile? output, string key, string? path, long bytes)
    {
        if (output is null || !output.Stream.CanSeek)
            return;
        var free = new DriveInfo(Path.GetFullPath(output.Stream.Name)).AvailableFreeSpace;
        if (bytes > free)
            throw new InvalidInputException(key, path, $"needs {Units.Bytes(bytes)} on its disk, which has {Units.Bytes(free)} left");
    }

    private static string MainType(ModelFile model) =>
        model.Tensors.Values.GroupBy(tensor => tensor.Type.Name).MaxBy(group => group.Sum(tensor => tensor.Bytes))!.Key;
}
