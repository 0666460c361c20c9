namespace Distributed.Testing;

/// <summary>A folder of its own for a test, deleted with all that lies in it.</summary>
public sealed class TempFolder : IDisposable
{
    /// <summary>The folder.</summary>
    public string Root { get; } = Directory.CreateTempSubdirectory("distributed-").FullName;

    /// <summary>A file in it by its name.</summary>
    public string Path(string name) => System.IO.Path.Combine(Root, name);

    /// <summary>Writes a file; gives its path.</summary>
    public string Write(string name, byte[] content)
    {
        File.WriteAllBytes(Path(name), content);
        return Path(name);
    }

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(Root, recursive: true);
}
