using System.Runtime.InteropServices;

namespace Distributed.Testing;

/// <summary>Reference data that lies in the project: models with their logits, quantised blocks with their values.</summary>
public static class Golden
{
    /// <summary>The folder of the reference data.</summary>
    public static string Root => Repository.Path("tests/Distributed.Testing/Golden");

    /// <summary>A file by its path below <see cref="Root"/>, e.g. <c>architectures/llama.gguf</c>.</summary>
    public static string Path(string relative) => System.IO.Path.Combine(Root, relative);

    /// <summary>The values of a file of little-endian float32 without a header.</summary>
    /// <param name="path">A full path, or one below <see cref="Root"/>.</param>
    public static float[] ReadF32(string path) =>
        MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path(path))).ToArray();
}
