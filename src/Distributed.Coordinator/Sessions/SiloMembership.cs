using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using Distributed.Cluster;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Config;
using Distributed.Core;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;
using Orleans.Connections.Security;

namespace Distributed.Coordinator.Sessions;

/// <summary>How a silo finds the others of its cluster.</summary>
/// <param name="Configure">Sets it up; every call takes another port, where that is free to choose.</param>
internal sealed record SiloMembership(Action<ISiloBuilder> Configure)
{
    /// <summary>How long it may take a silo to see what another one has written of a third.</summary>
    public static readonly TimeSpan Refresh = TimeSpan.FromSeconds(1);

    // Who has not written for three of these is not asked by one that joins.
    private static readonly TimeSpan Alive = TimeSpan.FromSeconds(1);

    // Three that are not answered: longer than a leader may be silent, since a new one puts the last one out itself.
    private static readonly TimeSpan Probe = TimeSpan.FromSeconds(2);

    /// <summary>One silo, on loopback.</summary>
    public static SiloMembership Alone { get; } = new(silo =>
        // Gateway port 0: grains are called from this process only.
        silo.UseLocalhostClustering(siloPort: FreePort(IPAddress.Loopback), gatewayPort: 0));

    /// <summary>The silos of all coordinators of a cluster, which find each other in PostgreSQL.</summary>
    /// <param name="database">The connection string.</param>
    /// <param name="config">The cluster; its <see cref="StateConfig.Silo"/> is this machine's.</param>
    /// <exception cref="InvalidInputException">That is no address of a machine.</exception>
    public static SiloMembership In(string database, ClusterConfig config)
    {
        var address = config.State.Silo is { } silo ? Resolve(silo) : IPAddress.Loopback;
        var certificates = config.Tls?.Load();
        return new SiloMembership(builder =>
        {
            var port = config.State.Silo is { Port: > 0 and var chosen } ? chosen : FreePort(address);
            builder.ConfigureEndpoints(address, port, gatewayPort: 0);
            builder.Configure<ClusterOptions>(cluster => cluster.ClusterId = cluster.ServiceId = config.State.Cluster);
            builder.Configure<ClusterMembershipOptions>(membership =>
            {
                (membership.TableRefreshTimeout, membership.IAmAliveTablePublishTimeout, membership.ProbeTimeout) = (Refresh, Alive, Probe);
                membership.DefunctSiloExpiration = TimeSpan.FromDays(1);
            });
            builder.Services.AddSingleton<IFatalErrorHandler, FatalEnd>();
            if (certificates is not null)
                Lock(builder, certificates);
            builder.UseAdoNetClustering(table => (table.Invariant, table.ConnectionString) = ("Npgsql", database));
        });
    }

    // Silos speak to those alone that show a certificate of the same name: a worker's will not do.
    private static void Lock(ISiloBuilder builder, NodeCertificates certificates) => builder.UseTls(certificates.Own, tls =>
    {
        (tls.RemoteCertificateMode, tls.ClientCertificateMode) = (RemoteCertificateMode.RequireCertificate, RemoteCertificateMode.RequireCertificate);
        tls.RemoteCertificateValidation = (certificate, _, _) => certificates.IsNamesake(certificate);
        tls.SslProtocols = SslProtocols.Tls13;
        tls.OnAuthenticateAsClient = (_, client) => client.TargetHost = certificates.Name;
    });

    private static IPAddress Resolve(NodeAddress address)
    {
        try
        {
            return IPAddress.TryParse(address.Host, out var ip) ? ip : Dns.GetHostAddresses(address.Host!, AddressFamily.InterNetwork).First();
        }
        catch (Exception error) when (error is SocketException or InvalidOperationException)
        {
            throw new InvalidInputException("state.silo", address.ToString(), "must name an address of this machine");
        }
    }

    private static int FreePort(IPAddress address)
    {
        using var listener = new TcpListener(address, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
