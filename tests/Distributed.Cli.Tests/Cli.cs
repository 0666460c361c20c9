using System.Diagnostics;
using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>What a run of the program came to.</summary>
internal sealed record CliResult(int ExitCode, string Out, string Error)
{
    /// <summary>stderr's lines that name an error.</summary>
    public IReadOnlyList<string> Errors => [.. Error.Split('\n').Where(line => line.StartsWith("error: ", StringComparison.Ordinal))];
}

/// <summary>The real program, started as a user would start it, with its streams piped.</summary>
internal sealed partial class Cli : IAsyncDisposable
{
    // As long as a machine may need that does more than these tests; a test that hangs is ended a little later.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(150);

    // What the developer's own workers have measured and kept is not touched, and does not decide what a test finds.
    private static readonly TempFolder Caches = new();

    private readonly Process _process;
    private int _disposed;
    private readonly Transcript _out;
    private readonly Transcript _error;

    static Cli() => AppDomain.CurrentDomain.ProcessExit += (_, _) => Caches.Dispose();

    private Cli(Process process)
    {
        _process = process;
        _out = new Transcript(process.StandardOutput);
        _error = new Transcript(process.StandardError);
    }

    /// <summary>The program's file.</summary>
    public static string Executable => Repository.Program;

    /// <summary>The process's number.</summary>
    public int Id => _process.Id;

    /// <summary>Runs to the end with an empty stdin.</summary>
    public static Task<CliResult> RunAsync(params string[] args) => RunAsync("", args);

    /// <summary>Runs to the end with a text on stdin.</summary>
    public static async Task<CliResult> RunAsync(string input, string[] args)
    {
        await using var cli = Start(args);
        return await cli.FinishAsync(input);
    }

    /// <summary>Starts and leaves it running; stdin stays open.</summary>
    public static Cli Start(params string[] args) => StartWith([], args);

    /// <summary>The same with some variables of the environment, each <c>NAME=VALUE</c>, set for it.</summary>
    public static Cli StartWith(IEnumerable<string> variables, params string[] args)
    {
        var start = new ProcessStartInfo(Executable, args)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["XDG_CACHE_HOME"] = Caches.Root },
        };
        foreach (var variable in variables)
            start.Environment[variable[..variable.IndexOf('=')]] = variable[(variable.IndexOf('=') + 1)..];
        return new Cli(Process.Start(start)!);
    }

    /// <summary>Waits until something on stdout matches; that match.</summary>
    public Task<Match> SeeAsync(Regex pattern) => _out.SeeAsync(pattern, Patience);

    /// <summary>Waits until something on stderr matches; that match.</summary>
    public Task<Match> SeeErrorAsync(Regex pattern) => _error.SeeAsync(pattern, Patience);

    /// <summary>Waits for the first characters of the answer.</summary>
    public Task SeeAnswerAsync() => SeeAsync(Anything());

    /// <summary>Gives it the rest of stdin and waits for the end of the process and its streams.</summary>
    public async Task<CliResult> FinishAsync(string input = "")
    {
        try
        {
            await _process.StandardInput.WriteAsync(input).WaitAsync(Patience);
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading.
        }

        var exitCode = await ExitAsync();
        return new CliResult(exitCode, await _out.AllAsync(Patience), await _error.AllAsync(Patience));
    }

    /// <summary>Waits for the end of the process, whoever still holds its streams; the exit code.</summary>
    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(Patience);
        return _process.ExitCode;
    }

    /// <summary>Sends it a signal, e.g. <c>INT</c>.</summary>
    public Task SignalAsync(string signal) => SignalAsync(signal, _process.Id);

    /// <summary>Sends it a signal, unless it has ended.</summary>
    public async Task TrySignalAsync(string signal)
    {
        using var kill = Process.Start(new ProcessStartInfo("kill", ["-s", signal, $"{_process.Id}"]) { RedirectStandardError = true })!;
        await kill.WaitForExitAsync();
    }

    /// <summary>Sends a process a signal.</summary>
    public static async Task SignalAsync(string signal, int process)
    {
        using var kill = Process.Start("kill", ["-s", signal, $"{process}"]);
        await kill.WaitForExitAsync();
        Assert.Equal(0, kill.ExitCode);
    }

    /// <summary>The processes it has started that still run.</summary>
    public IReadOnlyList<int> Children()
    {
        var ps = new ProcessStartInfo("ps", ["-o", "pid=", "--ppid", $"{_process.Id}"]) { RedirectStandardOutput = true };
        using var list = Process.Start(ps)!;
        return [.. list.StandardOutput.ReadToEnd().Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
    }

    /// <summary>Waits until it has started so many processes; they.</summary>
    public async Task<IReadOnlyList<int>> ChildrenAsync(int count)
    {
        using var timeout = new CancellationTokenSource(Patience);
        while (true)
        {
            var children = Children();
            if (children.Count >= count)
                return children;
            Assert.False(_process.HasExited || timeout.IsCancellationRequested, $"{children.Count} processes instead of {count}");
            await Task.Delay(10);
        }
    }

    /// <summary>Waits until none of some processes runs any more.</summary>
    public static async Task AllEndedAsync(IEnumerable<int> processes)
    {
        foreach (var id in processes)
        {
            try
            {
                using var process = Process.GetProcessById(id);
                await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(15));
            }
            catch (ArgumentException)
            {
                // It has ended already.
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    [GeneratedRegex(".")]
    private static partial Regex Anything();
}
