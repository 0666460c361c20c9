using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Config;

namespace Distributed.Coordinator.Tests.Weights;

/// <summary>A worker process with a folder of its own for weights, which can be killed and started again.</summary>
internal sealed class WorkerProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _name;
    private readonly string[] _arguments;
    private readonly List<string> _log = [];
    private Process? _process;

    private WorkerProcess(string name, string data, string[] arguments) =>
        (_name, _arguments) = (name, ["--data", data, "--threads", "1", .. arguments]);

    /// <summary>Where it listens; the same after a new start.</summary>
    public NodeAddress Address { get; private set; } = NodeAddress.Parse("", "127.0.0.1:0");

    /// <summary>What it has written to stderr.</summary>
    public string Log
    {
        get
        {
            lock (_log)
            {
                return string.Join('\n', _log);
            }
        }
    }

    /// <summary>The worker in a cluster, without the model's file.</summary>
    public WorkerConfig Config => new() { Name = _name, Address = Address, Model = "/nowhere/model" };

    public static async Task<WorkerProcess> StartAsync(string name, string data, params string[] arguments)
    {
        var worker = new WorkerProcess(name, data, arguments);
        await worker.StartAsync();
        return worker;
    }

    public async Task StartAsync()
    {
        var start = new ProcessStartInfo(RunningCluster.Program[0])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // As a worker that belongs to this process: it ends with it, and does not measure its devices at every start.
        foreach (var argument in (string[])["worker", "--exit-with-input", "--name", _name, "--listen", $"{Address}", .. _arguments])
            start.ArgumentList.Add(argument);
        _process = Process.Start(start)!;
        _process.ErrorDataReceived += (_, line) =>
        {
            lock (_log)
            {
                _log.Add(line.Data ?? "");
            }
        };
        _process.BeginErrorReadLine();
        var listening = await _process.StandardOutput.ReadLineAsync().WaitAsync(Patience);
        Address = NodeAddress.Parse("listening", listening!.Split(' ')[^1]);
    }

    /// <summary>Ends it as SIGKILL does.</summary>
    public async Task KillAsync()
    {
        _process!.Kill();
        await _process.WaitForExitAsync().WaitAsync(Patience);
        _process.Dispose();
        _process = null;
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
            await KillAsync();
    }
}
