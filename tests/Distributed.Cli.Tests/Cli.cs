using System.Diagnostics;

namespace Distributed.Cli.Tests;

/// <summary>What a run of the program came to.</summary>
internal sealed record CliResult(int ExitCode, string Out, string Error)
{
    /// <summary>stderr's lines that name an error.</summary>
    public IReadOnlyList<string> Errors => [.. Error.Split('\n').Where(line => line.StartsWith("error: ", StringComparison.Ordinal))];
}

/// <summary>The real program, started as a user would start it, with stdout and stderr piped.</summary>
internal sealed class Cli : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Process _process;
    private readonly TaskCompletionSource _spoke = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task<string> _out;
    private readonly Task<string> _error;

    private Cli(Process process)
    {
        _process = process;
        _out = ReadAsync(process.StandardOutput, _spoke);
        _error = process.StandardError.ReadToEndAsync();
    }

    /// <summary>The process.</summary>
    public int ProcessId => _process.Id;

    /// <summary>Done when the first characters of stdout have come, or the process ended without any.</summary>
    public Task FirstOutput => _spoke.Task.WaitAsync(Patience);

    /// <summary>Done when the process has ended, whoever still holds its streams.</summary>
    public Task<int> ExitCode => ExitAsync();

    /// <summary>The program's file.</summary>
    public static string Executable => Path.Combine(AppContext.BaseDirectory, "distributed");

    /// <summary>Runs to the end with an empty stdin.</summary>
    public static Task<CliResult> RunAsync(params string[] args) => RunAsync("", args);

    /// <summary>Runs to the end with a text on stdin.</summary>
    public static async Task<CliResult> RunAsync(string input, string[] args)
    {
        await using var cli = Start(args);
        return await cli.FinishAsync(input);
    }

    /// <summary>Starts and leaves it running; stdin stays open.</summary>
    public static Cli Start(params string[] args) => new(Process.Start(new ProcessStartInfo(Executable, args)
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
    })!);

    /// <summary>Gives it the rest of stdin and waits for the end.</summary>
    public async Task<CliResult> FinishAsync(string input = "")
    {
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            await _process.StandardInput.WriteAsync(input.AsMemory(), patience.Token);
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading.
        }

        await _process.WaitForExitAsync(patience.Token);
        return new CliResult(_process.ExitCode, await _out.WaitAsync(Patience), await _error.WaitAsync(Patience));
    }

    /// <summary>Sends it a signal, e.g. <c>INT</c>.</summary>
    public Task SignalAsync(string signal) => SignalAsync(signal, _process.Id);

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
        using var list = Process.Start(new ProcessStartInfo("ps", ["-o", "pid=", "--ppid", $"{_process.Id}"]) { RedirectStandardOutput = true })!;
        return [.. list.StandardOutput.ReadToEnd().Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
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
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(Patience);
        return _process.ExitCode;
    }

    private static async Task<string> ReadAsync(StreamReader reader, TaskCompletionSource spoke)
    {
        var first = new char[1];
        var count = await reader.ReadAsync(first);
        spoke.SetResult();
        return new string(first, 0, count) + await reader.ReadToEndAsync();
    }
}
