using Distributed.Core;
using Distributed.Engine.KvCache;

namespace Distributed.Cli.Bench;

/// <summary>A loaded model whose steps can be timed.</summary>
internal abstract class BenchTarget : IAsyncDisposable
{
    /// <summary>What it took, all stages together.</summary>
    public abstract StageMemory Memory { get; }

    /// <summary>Bytes that it was forecast to take.</summary>
    public abstract long Forecast { get; }

    /// <summary>How many steps of one sequence may be on their way at once, so that every stage has one.</summary>
    public virtual int StepsInFlight => 1;

    /// <summary>Runs one step to its end.</summary>
    /// <param name="slices">Whose tokens.</param>
    /// <param name="tokens">Slice after slice.</param>
    /// <param name="outputs">Compute what follows the last token of each slice.</param>
    /// <param name="cancellation">Gives up.</param>
    public abstract Task StepAsync(SequenceSlice[] slices, ReadOnlyMemory<int> tokens, bool outputs, CancellationToken cancellation);

    /// <summary>Forgets the first sequences.</summary>
    public abstract Task ReleaseAsync(int sequences, CancellationToken cancellation);

    /// <summary>The hops of the steps since the last call, in order; empty where everything is in this process.</summary>
    public virtual IReadOnlyList<HopRow> TakeHops() => [];

    /// <summary>The most memory that the processes which compute have held so far, in bytes.</summary>
    public abstract long PeakResident();

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();
}
