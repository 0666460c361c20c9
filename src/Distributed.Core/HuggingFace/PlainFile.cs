namespace Distributed.Core.HuggingFace;

/// <summary>Reads small files whole. What is no plain file is refused: a pipe would block, a device may never end.</summary>
internal static class PlainFile
{
    /// <summary>The bytes of a file; links are followed.</summary>
    /// <param name="path">The file.</param>
    /// <param name="most">The most bytes that are read.</param>
    /// <exception cref="InvalidInputException">It is longer, or a pipe, a device or a folder. Its key is the file's name.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read.</exception>
    public static byte[] ReadAllBytes(string path, long most)
    {
        // The length is asked for before opening: pipes and devices have none. A link has its own length.
        var info = new FileInfo(path);
        var target = info.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? info;
        var length = target.Length;
        if (length > most)
            throw new InvalidInputException(Path.GetFileName(path), $"{length} bytes", $"must have at most {most}", path);
        if (length == 0)
            throw new InvalidInputException(Path.GetFileName(path), "0 bytes", "must be a plain file that is not empty", path);

        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        var bytes = new byte[length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
