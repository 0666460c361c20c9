using System.Net;
using System.Net.Sockets;
using Distributed.Cluster;
using Distributed.Grains;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Distributed.Coordinator.Sessions;

/// <summary>The Orleans silo inside the coordinator's process. It listens on loopback alone.</summary>
public sealed class LocalSilo : IAsyncDisposable
{
    // A port found free may be taken by another process before the silo has it.
    private const int Attempts = 5;
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(3);
    private readonly IHost _host;

    private LocalSilo(IHost host)
    {
        _host = host;
        Grains = host.Services.GetRequiredService<IGrainFactory>();
    }

    /// <summary>The way to the grains.</summary>
    public IGrainFactory Grains { get; }

    /// <summary>Starts a silo of its own cluster.</summary>
    /// <param name="configure">Sets the storage named <see cref="GrainStorage.Name"/>; null keeps all state in memory.</param>
    /// <param name="logLevel">What it logs on standard error, below <see cref="LogLevel.Warning"/>; else nothing: its failures are thrown.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="AddressInUseException">No free port was found in several attempts.</exception>
    public static async Task<LocalSilo> StartAsync(Action<ISiloBuilder>? configure, LogLevel logLevel, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            var host = Build(FreePort(), configure ?? (silo => silo.AddMemoryGrainStorage(GrainStorage.Name)), logLevel);
            try
            {
                await host.StartAsync(cancellation);
                return new LocalSilo(host);
            }
            catch (AddressInUseException) when (attempt < Attempts)
            {
                host.Dispose();
            }
            catch
            {
                host.Dispose();
                throw;
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using var timeout = new CancellationTokenSource(StopTimeout);
        try
        {
            await _host.StopAsync(timeout.Token).WaitAsync(StopTimeout);
        }
        catch (Exception error) when (error is OperationCanceledException or TimeoutException)
        {
            // The process goes on without the silo's farewell.
        }

        _host.Dispose();
    }

    private static IHost Build(int port, Action<ISiloBuilder> configure, LogLevel logLevel)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        if (logLevel < LogLevel.Warning)
            builder.Logging.SetMinimumLevel(logLevel).AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        else
            builder.Logging.SetMinimumLevel(LogLevel.Error);
        builder.Services.AddSingleton<IHostLifetime, CallerLifetime>();
        builder.UseOrleans(silo =>
        {
            // Gateway port 0: grains are called from this process only.
            silo.UseLocalhostClustering(siloPort: port, gatewayPort: 0);
            configure(silo);
        });
        return builder.Build();
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
