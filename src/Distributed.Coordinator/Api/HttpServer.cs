using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Distributed.Cluster;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Config;
using Distributed.Coordinator.State;
using Distributed.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Distributed.Coordinator.Api;

/// <summary>The coordinator as a server: it answers <c>/health</c> at once and the rest when the model is loaded.</summary>
public static class HttpServer
{
    // Idle ones between requests, and those whose requests are refused.
    private const int MoreConnections = 256;

    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Serves until cancelled, and logs warnings on standard error.</summary>
    /// <inheritdoc cref="RunAsync(ClusterConfig, LogLevel, IProgress{LoadingProgress}, Action{string, CoordinatorHost}, CancellationToken)"/>
    public static Task RunAsync(
        ClusterConfig config, IProgress<LoadingProgress>? progress, Action<string, CoordinatorHost>? ready, CancellationToken cancellation) =>
        RunAsync(config, LogLevel.Warning, progress, ready, cancellation);

    /// <summary>Serves until cancelled.</summary>
    /// <param name="config">The cluster, with the address to listen on.</param>
    /// <param name="logLevel">What it logs on standard error; below <see cref="LogLevel.Warning"/> the grains do, too.</param>
    /// <param name="progress">Told how far the stages have loaded; null for nobody.</param>
    /// <param name="ready">Called once the model can be asked, with the URL and the coordinator; null for nobody.</param>
    /// <param name="cancellation">Stops serving: requests end, stages are unloaded.</param>
    /// <exception cref="InvalidInputException">The model file or the config is wrong, or the model does not fit.</exception>
    /// <exception cref="StageFailureException">A worker cannot be reached or refuses its stage.</exception>
    /// <exception cref="IOException">The address cannot be listened on.</exception>
    public static async Task RunAsync(
        ClusterConfig config, LogLevel logLevel, IProgress<LoadingProgress>? progress, Action<string, CoordinatorHost>? ready,
        CancellationToken cancellation) => await RunAsync(config, logLevel, progress, ready, null, cancellation);

    /// <summary>The same for one of several coordinators, which may stand by first.</summary>
    /// <param name="config">The cluster, with the address to listen on.</param>
    /// <param name="logLevel">What it logs on standard error.</param>
    /// <param name="progress">Told how far the stages have loaded; null for nobody.</param>
    /// <param name="ready">Called once this coordinator answers itself, with the URL and the coordinator; null for nobody.</param>
    /// <param name="standsBy">Called where another one leads, with this one's URL and that one's; null for nobody.</param>
    /// <param name="cancellation">Stops serving.</param>
    /// <exception cref="IOException">The address cannot be listened on, or this coordinator leads no more.</exception>
    public static async Task RunAsync(
        ClusterConfig config, LogLevel logLevel, IProgress<LoadingProgress>? progress, Action<string, CoordinatorHost>? ready,
        Action<string, string>? standsBy, CancellationToken cancellation)
    {
        CoordinatorHost? loaded = null;
        Candidate? candidate = null;
        var gate = new RequestGate(ApiKeys.Load(config.ApiKeyFile), config.MaxRequests);
        using var certificate = config.HttpCertificate is { } path ? CertificateFiles.ReadPair("http-", path, config.HttpKey!) : null;
        using var forwarding = new LeaderForwarding(config, () => candidate, () => loaded);
        await using var app = Build(config, certificate, logLevel, gate, forwarding, () => loaded);
        await ListenAsync(app, config.Http, cancellation);
        try
        {
            var url = UrlOf(app, config.Http);
            var state = StateStore.Open(config);
            if (state.Database is not null)
            {
                candidate = await Candidate.JoinAsync(config, state, url, logLevel, cancellation);
                config = config with { Term = await candidate.LeadAsync(leader => standsBy?.Invoke(url, leader.Url), cancellation) };
            }

            await using var host = await CoordinatorHost.StartAsync(config, logLevel, progress, state, candidate, cancellation);
            loaded = host;
            ready?.Invoke(url, host);
            var lost = candidate?.Lost ?? new TaskCompletionSource<string>().Task;
            await Task.WhenAny(lost, Task.Delay(Timeout.Infinite, cancellation));
            if (lost.IsCompleted)
                throw new IOException($"this coordinator leads no more: {await lost}");
        }
        catch (OperationCanceledException) when (candidate is not null && cancellation.IsCancellationRequested)
        {
            // Stopped while standing by.
        }
        finally
        {
            if (candidate is not null)
                await candidate.DisposeAsync();
            using var timeout = new CancellationTokenSource(StopTimeout);
            await app.StopAsync(timeout.Token);
        }
    }

    private static WebApplication Build(
        ClusterConfig config, X509Certificate2? certificate, LogLevel logLevel, RequestGate gate, LeaderForwarding forwarding,
        Func<CoordinatorHost?> host)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        // A failed start is thrown, and need not be told twice.
        builder.Logging.SetMinimumLevel(logLevel).AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
        // A leader that does not answer is nothing to tell: who asks waits for the next one.
        builder.Logging.AddFilter("Yarp", LogLevel.None);
        builder.Logging.AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.AddRoutingCore();
        builder.Services.AddHttpForwarder();
        builder.Services.AddSingleton<IHostLifetime, CallerLifetime>();
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = StopTimeout);
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = config.MaxBody;
            kestrel.Limits.RequestHeadersTimeout = config.HeaderTimeout;
            kestrel.Limits.MaxConcurrentConnections = config.MaxRequests + MoreConnections;
            Listen(kestrel, config.Http, listen =>
            {
                if (certificate is not null)
                    listen.UseHttps(certificate, https => https.HandshakeTimeout = config.HeaderTimeout);
                new HeaderLimit(config.HeaderTimeout).AddTo(listen);
            });
        });
        var app = builder.Build();
        gate.AddTo(app);
        forwarding.AddTo(app);
        app.UseRouting();
        app.MapOpenAiApi(host);
        return app;
    }

    private static void Listen(KestrelServerOptions kestrel, NodeAddress address, Action<ListenOptions> configure)
    {
        if (address.SocketPath is { } path)
            kestrel.ListenUnixSocket(path, configure);
        else if (IPAddress.TryParse(address.Host, out var ip))
            kestrel.Listen(ip, address.Port, configure);
        else if (address.Host == "localhost")
            kestrel.Listen(IPAddress.Loopback, address.Port, configure);
        else
            kestrel.Listen(Resolve(address), address.Port, configure);
    }

    private static IPAddress Resolve(NodeAddress address)
    {
        try
        {
            return Dns.GetHostAddresses(address.Host!).First();
        }
        catch (Exception error) when (error is SocketException or InvalidOperationException)
        {
            throw new InvalidInputException("http", address.ToString(), "must name an address of this machine");
        }
    }

    private static async Task ListenAsync(WebApplication app, NodeAddress address, CancellationToken cancellation)
    {
        try
        {
            await app.StartAsync(cancellation);
        }
        catch (IOException error) when (error.InnerException is AddressInUseException)
        {
            throw new IOException($"{address} is in use by another program; choose another address with --http HOST:PORT", error);
        }
        catch (SocketException error)
        {
            throw new IOException($"{address} cannot be listened on: {error.Message}", error);
        }
    }

    private static string UrlOf(WebApplication app, NodeAddress address) =>
        address.SocketPath is not null
            ? address.ToString()
            : app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
}
