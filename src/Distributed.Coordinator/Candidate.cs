using Distributed.Cluster.Config;
using Distributed.Coordinator.Sessions;
using Distributed.Coordinator.State;
using Distributed.Core;
using Microsoft.Extensions.Logging;

namespace Distributed.Coordinator;

/// <summary>Which of several coordinators leads.</summary>
/// <param name="Url">Where it serves HTTP, as the others reach it.</param>
/// <param name="Term">Its term: one higher with every one that leads.</param>
/// <param name="Standbys">How many others of the cluster stand by.</param>
public sealed record Leadership(string Url, long Term, int Standbys)
{
    /// <summary>One line for people.</summary>
    public override string ToString() => $"the coordinator on {Url} leads, in term {Term} · {Standbys} standing by";
}

/// <summary>
/// One of several coordinators of a cluster: in one Orleans cluster with the others, and standing by until it leads. The one that leads
/// owns the pipeline; the others send requests on to it.
/// </summary>
internal sealed class Candidate : IAsyncDisposable
{
    private static readonly TimeSpan EvictionTimeout = TimeSpan.FromSeconds(15);
    private readonly LeaderLock _lock;
    private volatile bool _leads;

    private Candidate(string url, LocalSilo silo, LeaderLock leaderLock) => (Url, Silo, _lock, Lost) = (url, silo, leaderLock, LostAsync(silo, leaderLock));

    /// <summary>Where it serves HTTP, as the others reach it.</summary>
    public string Url { get; }

    /// <summary>Its silo.</summary>
    public LocalSilo Silo { get; }

    /// <summary>Another coordinator that leads; null where this one does, or nobody is known to.</summary>
    public Leader? Other => _leads ? null : _lock.Current;

    /// <summary>Completes when it leads no more, with the reason.</summary>
    public Task<string> Lost { get; }

    /// <summary>Joins the others.</summary>
    /// <param name="config">The cluster.</param>
    /// <param name="state">Its state, in PostgreSQL.</param>
    /// <param name="url">Where this one serves HTTP.</param>
    /// <param name="logLevel">What the silo logs.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="InvalidInputException">The silo's address is none of this machine's.</exception>
    public static async Task<Candidate> JoinAsync(
        ClusterConfig config, StateStore state, string url, LogLevel logLevel, CancellationToken cancellation)
    {
        var silo = await LocalSilo.StartAsync(state.Configure, SiloMembership.In(state.Database!, config), logLevel, cancellation);
        return new Candidate(Reachable(url, config), silo, new LeaderLock(state.Database!, config.State.Cluster, config.RecoveryTimeout));
    }

    /// <summary>Waits until it leads, and what the leader before held in its silo is free.</summary>
    /// <param name="seen">Told of another one that leads.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The term.</returns>
    public async Task<long> LeadAsync(Action<Leader>? seen, CancellationToken cancellation)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var leading = _lock.LeadAsync(Url, Silo.Address, seen, ending.Token);
        if (await Task.WhenAny(leading, Silo.Ended) == Silo.Ended)
        {
            await ending.CancelAsync();
            await leading.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            throw new IOException($"this coordinator stands by no more: {await Silo.Ended}");
        }

        var (term, before) = await leading;
        _leads = true;
        if (before is not null && before != Silo.Address)
            await Silo.EvictAsync(before, cancellation).WaitAsync(EvictionTimeout, cancellation);
        return term;
    }

    /// <summary>Makes sure that it still leads.</summary>
    /// <exception cref="IOException">It does not, or nobody can tell.</exception>
    public Task ConfirmAsync(CancellationToken cancellation) => _lock.ConfirmAsync(cancellation);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Silo.DisposeAsync();
        await _lock.DisposeAsync();
    }

    // Of a silo that the next leader has put out, that leader says more.
    private static async Task<string> LostAsync(LocalSilo silo, LeaderLock leaderLock)
    {
        if (await Task.WhenAny(silo.Ended, leaderLock.Lost) == silo.Ended)
            await Task.WhenAny(leaderLock.Lost, Task.Delay(LeaderLock.Stale));
        return await (leaderLock.Lost.IsCompleted ? leaderLock.Lost : silo.Ended);
    }

    // A server on all addresses of its machine is reached by the one that its silo has.
    private static string Reachable(string url, ClusterConfig config)
    {
        var address = new UriBuilder(url);
        if (address.Host is "0.0.0.0" or "[::]")
            address.Host = config.State.Silo?.Host ?? "127.0.0.1";
        return address.Uri.GetLeftPart(UriPartial.Authority);
    }
}
