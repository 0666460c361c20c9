using System.Diagnostics;
using System.Reflection;
using Distributed.Cluster;

namespace Distributed.Coordinator;

/// <summary>One of the worker processes that a command starts for itself.</summary>
/// <param name="Name">Its name: <c>worker-0</c> and so on.</param>
/// <param name="Address">Where it listens.</param>
/// <param name="Process">The process.</param>
public sealed record LocalWorker(string Name, NodeAddress Address, Process Process);

/// <summary>
/// Worker processes on this machine that belong to one command: real processes on sockets in a private folder. They end with
/// this object, and also when this process is killed: their standard input ends then.
/// </summary>
public sealed class LocalWorkers : IAsyncDisposable
{
    /// <summary>The most workers one command may start.</summary>
    public const int MaxWorkers = 16;

    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);

    private readonly List<LocalWorker> _workers = [];
    private readonly List<Process> _started = [];
    private readonly string _folder = Directory.CreateTempSubdirectory("distributed-").FullName;

    private LocalWorkers()
    {
    }

    /// <summary>The workers, in order.</summary>
    public IReadOnlyList<LocalWorker> Workers => _workers;

    /// <summary>The command that starts this program again: the executable and the arguments before the verb.</summary>
    public static IReadOnlyList<string> ThisProgram { get; } =
        Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet"
            ? [Environment.ProcessPath!, Assembly.GetEntryAssembly()!.Location]
            : [Environment.ProcessPath!];

    /// <summary>Starts the workers and waits until each one listens.</summary>
    /// <param name="count">How many, 1 to <see cref="MaxWorkers"/>.</param>
    /// <param name="threads">CPU threads of each; null for the worker's own default.</param>
    /// <param name="memory">What stages may take of each one's memory, bytes.</param>
    /// <param name="program">The program to run with the verb <c>worker</c>; null for <see cref="ThisProgram"/>.</param>
    /// <param name="cancellation">Gives up and ends those started.</param>
    /// <exception cref="IOException">A worker does not start; its own messages are on standard error.</exception>
    public static Task<LocalWorkers> StartAsync(
        int count, int? threads, long memory, IReadOnlyList<string>? program, CancellationToken cancellation) =>
        StartAsync(
            [.. Enumerable.Repeat(threads, count)], new Dictionary<string, long> { ["cpu"] = memory }, program, null, cancellation);

    /// <summary>Starts workers that differ in their threads, with devices, and waits until each one listens.</summary>
    /// <param name="threads">CPU threads of each, 1 to <see cref="MaxWorkers"/> of them; null for the worker's own default.</param>
    /// <param name="memory">The devices that each one offers, and what stages may take of their memory, bytes.</param>
    /// <param name="program">The program to run with the verb <c>worker</c>; null for <see cref="ThisProgram"/>.</param>
    /// <param name="logLevel">What they log, as the program's <c>--log-level</c> takes it; null for the worker's own default.</param>
    /// <param name="cancellation">Gives up and ends those started.</param>
    /// <exception cref="IOException">A worker does not start; its own messages are on standard error.</exception>
    public static async Task<LocalWorkers> StartAsync(
        IReadOnlyList<int?> threads, IReadOnlyDictionary<string, long> memory, IReadOnlyList<string>? program, string? logLevel,
        CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads.Count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(threads.Count, MaxWorkers);
        var workers = new LocalWorkers();
        try
        {
            var starting = threads
                .Select((number, index) => workers.StartOneAsync(
                    $"worker-{index}", number, memory, program ?? ThisProgram, logLevel, cancellation))
                .ToArray();
            workers._workers.AddRange(await Task.WhenAll(starting));
            return workers;
        }
        catch
        {
            await workers.DisposeAsync();
            throw;
        }
    }

    /// <summary>Ends the workers: politely first, then for good.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (var worker in _started)
        {
            worker.StandardInput.Close();
        }

        foreach (var worker in _started)
        {
            try
            {
                await worker.WaitForExitAsync().WaitAsync(StopTimeout);
            }
            catch (TimeoutException)
            {
                worker.Kill(entireProcessTree: true);
                await worker.WaitForExitAsync();
            }
            catch (InvalidOperationException)
            {
                // It ended in between.
            }

            worker.Dispose();
        }

        _started.Clear();
        try
        {
            Directory.Delete(_folder, recursive: true);
        }
        catch (IOException)
        {
            // The last worker has cleared it away, or is at it.
        }
    }

    private async Task<LocalWorker> StartOneAsync(
        string name, int? threads, IReadOnlyDictionary<string, long> memory, IReadOnlyList<string> program, string? logLevel, CancellationToken cancellation)
    {
        var start = new ProcessStartInfo(program[0]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        // A socket's path is limited to about a hundred bytes.
        var socket = NodeAddress.TryParse($"unix:{_folder}/{name}");
        string[] arguments =
        [
            .. program.Skip(1), "worker", "--name", name, "--listen", socket?.ToString() ?? "127.0.0.1:0",
            "--devices", string.Join(',', memory.Keys), "--memory",
            string.Join(',', memory.Select(device => $"{device.Key}={device.Value}B")), "--exit-with-input",
            .. threads is { } number ? new[] { "--threads", $"{number}" } : [],
            .. logLevel is null ? [] : new[] { "--log-level", logLevel },
        ];
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);

        var process = Process.Start(start) ?? throw new IOException($"{program[0]} cannot be started");
        lock (_started)
        {
            _started.Add(process);
        }

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(StartTimeout);
        try
        {
            var line = await process.StandardOutput.ReadLineAsync(patience.Token);
            if (line is null || NodeAddress.TryParse(line.Split(' ')[^1]) is not { } address)
                throw new IOException($"{name} ended without listening");
            return new LocalWorker(name, address, process);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"{name} did not listen within {StartTimeout.TotalSeconds} s");
        }
    }
}
