using Distributed.Cluster;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Config;
using Microsoft.Extensions.Logging;

namespace Distributed.Worker;

/// <summary>What one worker process is told at its start.</summary>
public sealed record WorkerOptions
{
    /// <summary>Where to listen; port 0 lets the system choose.</summary>
    public NodeAddress Listen { get; init; } = NodeAddress.Parse("--listen", "127.0.0.1:7100");

    /// <summary>What the worker shows, and holds others against; null for plain text.</summary>
    public NodeCertificates? Certificates { get; init; }

    /// <summary>Allows plain text to and from other machines.</summary>
    public bool Insecure { get; init; }

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

    /// <summary>Why this worker connects to no such address, whoever asks it to; null where it does.</summary>
    /// <param name="address">The other worker's.</param>
    /// <param name="name">The other worker's name.</param>
    internal string? WhyNotDialed(NodeAddress address, string name) =>
        Certificates is null && !Insecure && !address.IsThisMachine
            ? $"{address} is another machine: start this worker with --tls-dir DIR, or with --insecure to speak to others in plain text"
            : Certificates is not null && address.SocketPath is null && !ClusterValidator.IsWorkerName(name)
                ? $"there is no worker's name that the certificate at {address} could be held against"
                : null;

    /// <summary>What is written to standard error.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Warning;
}
