using Distributed.Cluster;
using Distributed.Grains;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Distributed.Coordinator.Sessions;

/// <summary>The Orleans silo inside the coordinator's process. Alone it listens on loopback only.</summary>
public sealed class LocalSilo : IAsyncDisposable
{
    // A port found free may be taken by another process before the silo has it.
    private const int Attempts = 5;
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(3);
    private readonly IHost _host;
    private int _disposed;

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
    public static Task<LocalSilo> StartAsync(Action<ISiloBuilder>? configure, LogLevel logLevel, CancellationToken cancellation) =>
        StartAsync(configure, null, logLevel, cancellation);

    /// <summary>The same in a cluster with other coordinators' silos.</summary>
    internal static async Task<LocalSilo> StartAsync(
        Action<ISiloBuilder>? configure, SiloMembership? membership, LogLevel logLevel, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            var host = Build(membership ?? SiloMembership.Alone, configure ?? (silo => silo.AddMemoryGrainStorage(GrainStorage.Name)), logLevel);
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

    /// <summary>
    /// Of a silo in a cluster with others: completes when it cannot go on, with the reason: the others have put it out, or it has come to an
    /// inner fault. One that is alone ends the process then.
    /// </summary>
    internal Task<string> Ended => ((FatalEnd)_host.Services.GetRequiredService<IFatalErrorHandler>()).Ended;

    /// <summary>Its address among the silos of its cluster, as text.</summary>
    internal string Address => _host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress.ToParsableString();

    /// <summary>How many other silos its cluster has.</summary>
    internal int Others =>
        _host.Services.GetRequiredService<ISiloStatusOracle>().GetApproximateSiloStatuses(onlyActive: true).Count - 1;

    /// <summary>
    /// Puts another silo out of the cluster whose coordinator leads no more, and waits until this one knows: what that one held is then
    /// taken up here, and nothing waits for it.
    /// </summary>
    /// <param name="address">That silo's <see cref="Address"/>.</param>
    /// <param name="cancellation">Gives up.</param>
    internal async Task EvictAsync(string address, CancellationToken cancellation)
    {
        var silo = SiloAddress.FromParsableString(address);
        var table = _host.Services.GetRequiredService<IMembershipTable>();
        var oracle = _host.Services.GetRequiredService<ISiloStatusOracle>();
        while (!cancellation.IsCancellationRequested)
        {
            var rows = await table.ReadAllAsync(cancellation);
            if (rows.Members.FirstOrDefault(row => row.Item1.SiloAddress.Equals(silo)) is not ({ Status: not SiloStatus.Dead } entry, var version))
                break;
            entry.Status = SiloStatus.Dead;
            // Not when another silo has changed the table meanwhile.
            if (await table.UpdateRowAsync(entry, version, rows.Version.Next(), cancellation))
                break;
        }

        while (oracle.GetApproximateSiloStatus(silo) is not (SiloStatus.Dead or SiloStatus.None))
            await Task.Delay(SiloMembership.Refresh / 20, cancellation);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
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

    private static IHost Build(SiloMembership membership, Action<ISiloBuilder> configure, LogLevel logLevel)
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
            membership.Configure(silo);
            configure(silo);
        });
        return builder.Build();
    }
}
