using System.Globalization;
using Distributed.Testing;

namespace Distributed.Cpu.Tests;

public sealed class MappedPagesTests : IDisposable
{
    private const int Bytes = 1 << 20;
    private const int SomePages = 1 << 17;

    private readonly TempFolder _folder = new();

    [LinuxFact]
    public void Loading_maps_the_pages_of_a_matrix_and_leaves_those_of_experts()
    {
        var path = _folder.Path("weights.gguf");
        var writer = new GgufWriter();
        var zeros = new byte[Bytes];
        writer.Add("matrix", F32.Type, [1024, Bytes / 4096], stream => stream.Write(zeros));
        writer.Add("experts", F32.Type, [1024, Bytes / 8192, 2], stream => stream.Write(zeros));
        writer.Write(path);
        using var file = GgufFile.Open(path);
        using var backend = new CpuBackend(1);

        var before = MappedBytes(path);
        backend.Load(file.Tensors["experts"]);
        Assert.Equal(before, MappedBytes(path));
        backend.Load(file.Tensors["matrix"]);
        Assert.InRange(MappedBytes(path) - before, Bytes - SomePages, Bytes + SomePages);
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>Bytes of a file that this process can read without a page fault (proc_pid_smaps(5)).</summary>
    private static long MappedBytes(string path)
    {
        var lines = File.ReadAllLines("/proc/self/smaps");
        var start = Array.FindIndex(lines, line => line.EndsWith(path, StringComparison.Ordinal));
        var resident = lines.Skip(start).First(line => line.StartsWith("Rss:", StringComparison.Ordinal));
        return 1024 * long.Parse(resident.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}

/// <summary>A test of what Linux says of a process's pages; skipped, by name, elsewhere.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class LinuxFactAttribute : FactAttribute
{
    public LinuxFactAttribute() => Skip = OperatingSystem.IsLinux() ? null : "needs Linux, which lists a process's pages";
}
