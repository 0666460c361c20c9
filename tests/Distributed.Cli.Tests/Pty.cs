using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Distributed.Cli.Tests;

/// <summary>The real program on a terminal of its own, made by <c>script</c>: a person's view of it, both streams on one screen.</summary>
internal sealed class Pty : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Process _script;
    private readonly Transcript _screen;
    private int _seen;

    private Pty(Process script)
    {
        _script = script;
        _screen = new Transcript(script.StandardOutput);
    }

    /// <summary>Everything shown so far.</summary>
    public string Screen => _screen.Text;

    /// <summary>Starts the program with the given arguments, none of which may need quoting.</summary>
    public static Pty Start(IReadOnlyDictionary<string, string> environment, params string[] args)
    {
        var start = new ProcessStartInfo("script", ["-q", "-e", "-c", $"'{Cli.Executable}' {string.Join(' ', args)}", "/dev/null"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            Environment = { ["TERM"] = "xterm" },
        };
        start.Environment.Remove("NO_COLOR");
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        return new Pty(Process.Start(start)!);
    }

    /// <summary>Waits until a text appears behind what was waited for before.</summary>
    public async Task SeeAsync(string text)
    {
        var pattern = new Regex($@"(?<=^[\s\S]{{{_seen},}}){Regex.Escape(text)}");
        var match = await _screen.SeeAsync(pattern, Patience);
        _seen = match.Index + match.Length;
    }

    /// <summary>Types keys.</summary>
    public async Task TypeAsync(string keys)
    {
        await _script.StandardInput.WriteAsync(keys);
        await _script.StandardInput.FlushAsync();
    }

    /// <summary>Waits for the end; the exit code.</summary>
    public async Task<int> EndAsync()
    {
        await _screen.AllAsync(Patience);
        await _script.WaitForExitAsync().WaitAsync(Patience);
        return _script.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_script.HasExited)
            _script.Kill(entireProcessTree: true);
        await _script.WaitForExitAsync();
        _script.Dispose();
    }
}

/// <summary>A test on a terminal; skipped, by name, where no <c>script</c> of util-linux makes one.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TerminalFactAttribute : FactAttribute
{
    public TerminalFactAttribute() =>
        Skip = OperatingSystem.IsLinux() && File.Exists("/usr/bin/script") ? null : "needs the command script to make a terminal";
}
