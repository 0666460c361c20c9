using Microsoft.Extensions.Hosting;

namespace Distributed.Cluster;

/// <summary>
/// The lifetime of a host that its caller starts and stops. The default one listens to signals by itself, and would stop on
/// Ctrl-C while the caller still needs it.
/// </summary>
public sealed class CallerLifetime : IHostLifetime
{
    /// <inheritdoc/>
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
