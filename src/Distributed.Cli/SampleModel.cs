namespace Distributed.Cli;

/// <summary>The small model that comes with the program.</summary>
internal static class SampleModel
{
    /// <summary>Its file, beside the executable.</summary>
    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "Sample", "tales-5m-q8_0.gguf");
}
