namespace Distributed.Cli;

/// <summary>What the process says when it ends.</summary>
internal static class ExitCode
{
    /// <summary>Done.</summary>
    public const int Done = 0;

    /// <summary>Failed while running.</summary>
    public const int Failed = 1;

    /// <summary>Wrong usage, configuration or model file.</summary>
    public const int InvalidInput = 2;

    /// <summary>Interrupted from outside.</summary>
    public const int Interrupted = 130;
}
