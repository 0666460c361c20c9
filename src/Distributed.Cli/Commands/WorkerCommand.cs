using System.CommandLine;
using Distributed.Cli.Output;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Core;
using Distributed.Gpu;
using Distributed.Worker;
using Distributed.Worker.Profiling;

namespace Distributed.Cli.Commands;

/// <summary><c>worker</c>: holds stages for a coordinator, until stopped.</summary>
internal sealed class WorkerCommand : Command
{
    private static readonly WorkerOptions Defaults = new();

    private readonly Option<NodeAddress?> _listen = Flag.Address("--listen", $"Where to listen (default {Defaults.Listen})");
    private readonly Option<string?> _name = Flag.Create<string?>(
        "--name", "NAME", "The worker's name (default the machine's)", (string text, out string? name) =>
        {
            name = text;
            return ClusterValidator.IsWorkerName(text) ? null : ClusterValidator.WorkerNameRule;
        });

    private readonly Option<string?> _devices = Flag.Text("--devices", "LIST", "The devices to offer, separated by commas (default cpu)");
    private readonly Option<Dictionary<string, long>> _memory = Flag.Create<Dictionary<string, long>>(
        "--memory", "LIST", "What stages may take of each device's memory, e.g. cpu=8GiB; the program itself comes on top (default what is free, less a tenth, at most 512 MiB)", Flag.ReadMemory);

    private readonly Option<int?> _threads =
        Flag.Whole("--threads", $"Threads that compute (default {Defaults.Threads})", 1, CommonOptions.MaxThreads, "-t");

    private readonly Option<string?> _data = Flag.Text(
        "--data", "DIR", $"Where to keep measured profiles, and weights that a coordinator sends (default {DataFolder.Default})");

    private readonly Option<long?> _storeSize = Flag.Size(
        "--store-size", $"The most weights to keep there (default {ByteSize.Format(Defaults.StoreLimit).Replace(" ", "", StringComparison.Ordinal)})");

    private readonly Option<bool> _profile = Flag.Switch("--profile", "Measure the devices anew, print what they can do, and end");

    private readonly Option<bool> _list = Flag.Switch("--list", "List the devices of this machine, and end");

    // Not the one of other verbs, which print a table every time.
    private readonly Option<bool> _json = Flag.Switch("--json", "With --profile or --list: print one JSON document instead of tables");

    // How the processes that a command starts for itself know when it is gone.
    private readonly Option<bool> _exitWithInput = Flag.Switch("--exit-with-input", "End when stdin ends");
    private readonly Terminal _terminal;

    public WorkerCommand(Terminal terminal)
        : base("worker", "Hold layers for a coordinator, until stopped")
    {
        _terminal = terminal;
        _exitWithInput.Hidden = true;
        Add(_listen);
        Add(_name);
        Add(_devices);
        Add(_memory);
        Add(_threads);
        Add(_data);
        Add(_storeSize);
        Add(_profile);
        Add(_list);
        Add(_json);
        Add(_exitWithInput);
        Add(CommonOptions.TlsFolder);
        Add(CommonOptions.Insecure);
        Add(CommonOptions.LogLevel);
        SetAction(RunAsync);
        _json.Needs(_profile, _list);
        Option[] ofWorkers = [_listen, _name, _devices, _memory, _threads, _data, _storeSize, _profile];
        foreach (var option in ofWorkers)
            option.NotBeside(_list);
    }

    private async Task<int> RunAsync(ParseResult flags, CancellationToken cancellation)
    {
        if (flags.GetValue(_list))
            return List(flags.GetValue(_json));
        var name = flags.GetValue(_name) ?? Defaults.Name;
        var options = new WorkerOptions
        {
            Listen = flags.GetValue(_listen) ?? Defaults.Listen,
            Name = name,
            Certificates = flags.GetValue(CommonOptions.TlsFolder) is { } folder ? TlsConfig.InFolder(folder, name).Load() : null,
            Insecure = flags.GetValue(CommonOptions.Insecure),
            Devices = flags.GetValue(_devices)?.Split(',', StringSplitOptions.TrimEntries) ?? Defaults.Devices,
            Memory = flags.GetValue(_memory) ?? [],
            Threads = flags.GetValue(_threads) ?? Defaults.Threads,
            Data = flags.GetValue(_data) is { } data ? Path.GetFullPath(data) : Defaults.Data,
            StoreLimit = flags.GetValue(_storeSize) ?? Defaults.StoreLimit,
            // A command's own workers measure when it plans, and only what it needs.
            ProfilesAtStart = !flags.GetValue(_exitWithInput),
            ExitWithInput = flags.GetValue(_exitWithInput),
            LogLevel = flags.GetValue(CommonOptions.LogLevel) ?? Defaults.LogLevel,
        };
        if (flags.GetValue(_profile))
            return await ProfileAsync(options, flags.GetValue(_json), cancellation);
        _terminal.Interrupt.IgnoresCtrlC = options.ExitWithInput;
        await WorkerHost.RunAsync(options, address => _terminal.Out.WriteLine($"{options.Name} listens on {address}"), cancellation);
        return _terminal.Interrupt.ExitCodeOfServer;
    }

    private int List(bool json)
    {
        var devices = ListedDevice.All();
        foreach (var reason in devices.Select(device => device.Problem).OfType<string>().Concat(GpuDevices.WhyNone()))
            _terminal.Error.WriteLine(Printable.Line(reason));
        if (json)
        {
            Json.Write(_terminal.Out, devices);
            return ExitCode.Done;
        }

        var table = Tables.Create("device", "hardware", ">compute capability", ">memory", ">free");
        foreach (var device in devices)
            table.Line(
                device.Name, device.Hardware, device.Capability ?? "-", Units.Bytes(device.Memory),
                device.Free is { } free ? Units.Bytes(free) : "not known");
        _terminal.OutConsole.Write(table);
        return ExitCode.Done;
    }

    private async Task<int> ProfileAsync(WorkerOptions options, bool json, CancellationToken cancellation)
    {
        using var measuring = new DeviceProfiles(options.Data, options.Name);
        var profiles = await measuring.MeasureAsync(new DeviceInventory(options), again: true, cancellation);
        if (json)
        {
            Json.Write(_terminal.Out, profiles);
            return ExitCode.Done;
        }

        var named = profiles.Select(profile => (profile.Device, profile)).ToList();
        _terminal.OutConsole.Section("products", ProfileTable.OfProducts(named));
        _terminal.OutConsole.Write(ProfileTable.OfTheRest(named));
        return ExitCode.Done;
    }
}
