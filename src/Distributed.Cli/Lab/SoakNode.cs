using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.RegularExpressions;
using Distributed.Coordinator;

namespace Distributed.Cli.Lab;

/// <summary>This program as a process that is killed, stopped and started again. What it prints goes to a file.</summary>
/// <param name="name">What the soak calls it.</param>
/// <param name="log">The file; what a process prints is added to what the one before it has printed.</param>
/// <param name="ready">What it prints when it can be used; its first group is its address.</param>
internal sealed class SoakNode(string name, string log, Regex ready) : IAsyncDisposable
{
    private const int LinesTold = 3;
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);

    // What it printed last: the file goes with the soak where nobody wants to keep it.
    private readonly ConcurrentQueue<string> _last = new();

    private Process? _process;
    private Task _printing = Task.CompletedTask;

    /// <summary>What the soak calls it.</summary>
    public string Name => name;

    /// <summary>How often it was started.</summary>
    public int Starts { get; private set; }

    /// <summary>When it was started last.</summary>
    public long StartedAt { get; private set; }

    /// <summary>What the process has in memory, in bytes, pages of mapped files included; null where it has ended.</summary>
    public long? Memory
    {
        get
        {
            if (_process is not { HasExited: false } process)
                return null;
            process.Refresh();
            return process.WorkingSet64;
        }
    }

    /// <summary>Starts it and waits until it can be used.</summary>
    /// <param name="arguments">The verb and its flags.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>Its address, as it prints it.</returns>
    /// <exception cref="IOException">It ends, or is not ready in time, with what it printed last.</exception>
    public async Task<string> StartAsync(IEnumerable<string> arguments, CancellationToken cancellation)
    {
        await _printing;
        _process?.Dispose();
        var program = LocalWorkers.ThisProgram;
        var process = Process.Start(new ProcessStartInfo(program[0], [.. program.Skip(1), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        }) ?? throw new IOException($"{program[0]} cannot be started");
        (_process, StartedAt) = (process, Stopwatch.GetTimestamp());
        Starts++;
        var address = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        _printing = PrintAsync(process, address);
        try
        {
            return await address.Task.WaitAsync(StartTimeout, cancellation);
        }
        catch (TimeoutException)
        {
            throw new IOException($"{name} was not ready within {StartTimeout.TotalSeconds} s; {Told()}");
        }
    }

    /// <summary>Ends it as SIGKILL does.</summary>
    public async Task KillAsync()
    {
        if (_process is not { HasExited: false } process)
            return;
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Sends it a signal by its name, which has other numbers on other systems.</summary>
    public async Task SignalAsync(string signal)
    {
        if (_process is not { HasExited: false } process)
            return;
        using var kill = Process.Start(new ProcessStartInfo("kill", ["-s", signal, $"{process.Id}"]) { RedirectStandardError = true })
            ?? throw new IOException("kill cannot be started");
        await kill.WaitForExitAsync();
    }

    /// <summary>Waits until it has ended, and ends it where it does not within a time.</summary>
    /// <returns>Whether it ended by itself.</returns>
    public async Task<bool> EndedAsync(TimeSpan patience)
    {
        try
        {
            await (_process?.WaitForExitAsync().WaitAsync(patience) ?? Task.CompletedTask);
            return true;
        }
        catch (TimeoutException)
        {
            await KillAsync();
            return false;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        await _printing;
        _process?.Dispose();
    }

    private string Told() => $"it printed last: {string.Join(" | ", _last)}";

    private async Task PrintAsync(Process process, TaskCompletionSource<string> address)
    {
        await using var file = new StreamWriter(log, append: true) { AutoFlush = true };
        await file.WriteLineAsync($"--- started as process {process.Id} at {DateTime.Now:HH:mm:ss.fff}");
        await Task.WhenAll(ReadAsync(process.StandardOutput), ReadAsync(process.StandardError));
        address.TrySetException(new IOException($"{name} ended without being ready; {Told()}"));

        async Task ReadAsync(StreamReader stream)
        {
            while (await stream.ReadLineAsync() is { } line)
            {
                lock (file)
                {
                    file.WriteLine($"{DateTime.Now:HH:mm:ss.fff} {line}");
                    _last.Enqueue(line);
                    if (_last.Count > LinesTold)
                        _last.TryDequeue(out _);
                }

                if (ready.Match(line) is { Success: true } match)
                    address.TrySetResult(match.Groups[1].Value);
            }
        }
    }
}
