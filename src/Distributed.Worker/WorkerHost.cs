using System.Net.Sockets;
using Distributed.Cluster;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Worker.Profiling;
using Distributed.Worker.Weights;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Distributed.Worker;

/// <summary>A worker process: Kestrel, the stage service and the stages, until stopped.</summary>
public static partial class WorkerHost
{
    /// <summary>Runs a worker until it is cancelled, or (where so configured) its standard input ends.</summary>
    /// <param name="options">What to offer and where.</param>
    /// <param name="listening">Called once with the address it listens on, the port filled in.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="InvalidInputException">An option is wrong.</exception>
    /// <exception cref="IOException">The address is in use.</exception>
    public static async Task RunAsync(WorkerOptions options, Action<NodeAddress> listening, CancellationToken cancellation)
    {
        CheckDoor(options);
        var devices = new DeviceInventory(options);
        foreach (var reason in devices.Missing)
            await Console.Error.WriteLineAsync(reason);
        using var profiles = new DeviceProfiles(options.Data, options.Name);
        if (options.Listen.SocketPath is { } path)
            RemoveStaleSocket(path);

        // Empty: the default one also takes settings from a file in the current folder, and watches all that is below for changes.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.SetMinimumLevel(options.LogLevel);
        // What keeps it from starting is thrown: the caller tells it, in a line.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting", options.LogLevel <= LogLevel.Debug ? options.LogLevel : LogLevel.None);
        builder.Logging.AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(5));
        builder.WebHost.UseKestrelCore().UseSockets(NodeServer.Tune);
        builder.Services.AddSingleton<IMemoryPoolFactory<byte>, NodeMemory>();
        builder.WebHost.ConfigureKestrel(kestrel => NodeServer.Listen(kestrel, options.Listen, options.Certificates));
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.Services.AddRoutingCore();
        builder.Services.AddGrpc(grpc =>
        {
            grpc.MaxReceiveMessageSize = NodeChannel.MaxMessageBytes;
            grpc.MaxSendMessageSize = NodeChannel.MaxMessageBytes;
            grpc.Interceptors.Add<FailureNames>();
        });
        ForwardMethod.AddTo(builder.Services);
        // Signals are the caller's: it cancels. A worker that belongs to a process must not end before it on Ctrl-C.
        builder.Services.AddSingleton<IHostLifetime, CallerLifetime>();
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton(devices);
        builder.Services.AddSingleton(profiles);
        builder.Services.AddSingleton(services => new ModelCopies(
            new WeightStore(options.Data, options.StoreLimit),
            new PendingSupplies(options.Name),
            services.GetRequiredService<ILogger<ModelCopies>>()));
        builder.Services.AddSingleton(services => new LoadedStages(
            options, devices, services.GetRequiredService<ModelCopies>()));
        builder.Services.AddHostedService(services => services.GetRequiredService<LoadedStages>());

        await using var app = builder.Build();
        app.Use(FailureNames.NameAsync);
        app.UseRouting();
        ForwardMethod.Prefer(app.MapGrpcService<StageServiceEndpoint>());
        if (!await ListenAsync(app, options, cancellation))
            return;
        try
        {
            // The address comes first: that it is taken is not to be found out after seconds of measuring. Who asks for the profiles, or
            // for a stage, meanwhile waits.
            if (options.ProfilesAtStart)
                await MeasureAsync(profiles, devices, app.Logger, cancellation);
            listening(BoundAddress(app, options.Listen));
            if (options.ExitWithInput)
                _ = StopWithInputAsync(app.Lifetime);
            using var stop = cancellation.Register(app.Lifetime.StopApplication);
            await app.WaitForShutdownAsync(CancellationToken.None);
        }
        finally
        {
            if (options.Listen.SocketPath is { } socket)
                DeleteSocket(socket, withFolder: options.ExitWithInput);
        }
    }

    /// <summary>What a worker with these options would be and can do, and the link to it over a socket of this machine.</summary>
    /// <param name="options">The options; where to listen is of no account.</param>
    /// <param name="types">Formats of weights that the profiles must have.</param>
    /// <param name="kvType">The format of the KV cache that they must have.</param>
    /// <param name="link">What to make of the link; null to leave it as it is.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<(WorkerDescription Worker, ProbeLinkRequest Request, ProbeLinkReply Link)> MeasureHereAsync(
        WorkerOptions options, IEnumerable<string> types, KvType kvType, LinkShape? link, CancellationToken cancellation)
    {
        var folder = Directory.CreateTempSubdirectory("distributed-");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var listening = new TaskCompletionSource<NodeAddress>(TaskCreationOptions.RunContinuationsAsynchronously);
        var socket = NodeAddress.TryParse($"unix:{folder.FullName}/worker") ?? NodeAddress.Parse("--listen", "127.0.0.1:0");
        var running = RunAsync(options with { Listen = socket }, listening.SetResult, stop.Token);
        try
        {
            await Task.WhenAny(running, listening.Task).Unwrap();
            var address = await listening.Task;
            using var channel = NodeChannel.Open(address, TimeSpan.FromSeconds(10));
            var client = new StageService.StageServiceClient(channel);
            var worker = await client.DescribeAsync(new DescribeRequest(), cancellationToken: cancellation);
            var request = new ProfileRequest { Types_ = { types }, KvTypes = { kvType.ToName() } };
            try
            {
                var profiles = await client.ProfileAsync(request, cancellationToken: cancellation);
                foreach (var device in worker.Devices)
                    device.Profile = profiles.Devices.First(profile => profile.Device == device.Name);
            }
            catch (RpcException)
            {
                // Too little memory to measure with; the plan then goes by memory.
                cancellation.ThrowIfCancellationRequested();
            }

            var probe = LinkProbe.Quick(address, link, options.Name);
            return (worker, probe, await LinkProbe.RunAsync(probe, options.Name, cancellation));
        }
        finally
        {
            await stop.CancelAsync();
            await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            folder.Delete(recursive: true);
        }
    }

    private static void CheckDoor(WorkerOptions options)
    {
        if (options is { Certificates: not null, Insecure: true })
            throw new InvalidInputException("--insecure", null, "cannot stand beside --tls-dir, which leaves nothing in plain text");
        if (options is { Certificates: null, Insecure: false } && !options.Listen.IsThisMachine)
        {
            const string Rule = "is for other machines too: give certificates with --tls-dir DIR (made by `distributed certs`), "
                + "or let anybody who reaches it use this worker with --insecure";
            throw new InvalidInputException("--listen", $"{options.Listen}", Rule);
        }

        if (options.Certificates is { } own && own.Name != options.Name)
            throw new InvalidInputException("--name", options.Name, $"must be {own.Name}, the name in the worker's certificate");
    }

    private static async Task MeasureAsync(DeviceProfiles profiles, DeviceInventory devices, ILogger logger, CancellationToken cancellation)
    {
        foreach (var device in devices.All.Where(device => device.IsMeasured))
        {
            try
            {
                await profiles.GetAsync(device, DeviceProfiles.UsualTypes, [KvType.F16], again: false, cancellation);
            }
#pragma warning disable CA1031 // Whatever a driver throws: the worker's devices may hold layers all the same, and plans go by memory.
            catch (Exception error) when (error is not OperationCanceledException)
#pragma warning restore CA1031
            {
                LogNotMeasured(logger, error is StageFailureException ? null : error, device.Name, error.Message);
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Device} is not measured: {Reason}")]
    private static partial void LogNotMeasured(ILogger logger, Exception? error, string device, string reason);

    // False when the process that the worker belongs to has given up meanwhile, and cleared the folder of its sockets away.
    private static async Task<bool> ListenAsync(WebApplication app, WorkerOptions options, CancellationToken cancellation)
    {
        try
        {
            await app.StartAsync(cancellation);
            return true;
        }
        catch (SocketException error)
        {
            if (options is { ExitWithInput: true, Listen.SocketPath: { } path } && !Directory.Exists(Path.GetDirectoryName(path)))
                return false;
            throw new IOException($"{options.Listen} cannot be listened on: {error.Message}", error);
        }
    }

    // A folder of sockets was made by the process that started the workers, and that process may have been killed.
    private static void DeleteSocket(string path, bool withFolder)
    {
        try
        {
            File.Delete(path);
            if (withFolder)
                Directory.Delete(Path.GetDirectoryName(path)!);
        }
        catch (IOException)
        {
            // Another worker's socket is still there, or the folder is gone already.
        }
    }

    private static NodeAddress BoundAddress(WebApplication app, NodeAddress wanted)
    {
        if (wanted.SocketPath is not null)
            return wanted;
        var bound = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        return NodeAddress.Parse("--listen", new Uri(bound).Authority);
    }

    // A worker that was killed leaves its socket behind; one that answers is another worker's.
    private static void RemoveStaleSocket(string path)
    {
        if (!File.Exists(path))
            return;
        if (!IsSocket(path))
            throw new InvalidInputException("--listen", $"unix:{path}", "must not be a file that is already there");
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
            return;
        }
        catch (SocketException error)
        {
            throw new IOException($"unix:{path} cannot be listened on: {error.Message}", error);
        }

        throw new IOException($"unix:{path} is in use by another process");
    }

    // A socket cannot be opened as a file.
    private static bool IsSocket(string path)
    {
        try
        {
            using var file = File.OpenHandle(path);
            return false;
        }
        catch (UnauthorizedAccessException)
        {
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    private static async Task StopWithInputAsync(IHostApplicationLifetime lifetime)
    {
        var buffer = new byte[256];
        await using var input = Console.OpenStandardInput();
        try
        {
            while (await input.ReadAsync(buffer, lifetime.ApplicationStopping) > 0)
            {
            }
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
        }

        lifetime.StopApplication();
    }
}
