using Distributed.Cluster;
using Microsoft.Extensions.Logging;

namespace Distributed.Worker;

/// <summary>What one worker process is told at its start.</summary>
public sealed record WorkerOptions
{
    /// <summary>Where to listen; port 0 lets the system choose.</summary>
    public NodeAddress Listen { get; init; } = NodeAddress.Parse("--listen", "127.0.0.1:7100");

    /// <summary>The worker's name in placements and messages.</summary>
    public string Name { get; init; } = Environment.MachineName.ToLowerInvariant();

    /// <summary>The devices to offer, by name.</summary>
    public IReadOnlyList<string> Devices { get; init; } = ["cpu"];

    /// <summary>What stages may take of a device, bytes; a device that is missing may be filled to <see cref="HostMachine.UsableMemory"/> at the start.</summary>
    public IReadOnlyDictionary<string, long> Memory { get; init; } = new Dictionary<string, long>();

    /// <summary>Threads of the CPU device.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Where it keeps what outlives it: the profiles of its devices, and weights that were sent to it.</summary>
    public string Data { get; init; } = DataFolder.Default;

    /// <summary>The most bytes of weights to keep there; those of the model used last the longest ago go first.</summary>
    public long StoreLimit { get; init; } = 50L << 30;

    /// <summary>Measure the devices before saying that it listens, unless that was done before; else when a coordinator asks.</summary>
    public bool ProfilesAtStart { get; init; }

    /// <summary>Stop when standard input ends: the worker belongs to the process that started it and holds the other end.</summary>
    public bool ExitWithInput { get; init; }

    /// <summary>How long a stage is kept while no coordinator watches it.</summary>
    public TimeSpan WatchLease { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>What is written to standard error.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Warning;
}
