using Distributed.Core;

namespace Distributed.Cli.Bench;

/// <summary>A loaded model whose work can be timed. Which tokens it computes does not matter, so they are random.</summary>
internal abstract class BenchTarget : IAsyncDisposable
{
    /// <summary>What it took, all stages together.</summary>
    public abstract StageMemory Memory { get; }

    /// <summary>Bytes that it was forecast to take.</summary>
    public abstract long Forecast { get; }

    /// <summary>Has a sequence hold so many tokens, whatever it held before.</summary>
    /// <param name="sequence">Its number, from 0.</param>
    /// <param name="depth">Tokens.</param>
    /// <param name="cancellation">Gives up between two steps.</param>
    public abstract Task PrepareAsync(int sequence, int depth, CancellationToken cancellation);

    /// <summary>Computes a prompt, and what follows its last token.</summary>
    /// <param name="depth">Tokens that sequence 0 holds already.</param>
    /// <param name="tokens">Tokens of the prompt.</param>
    /// <param name="cancellation">Gives up between two steps.</param>
    public abstract Task PrefillAsync(int depth, int tokens, CancellationToken cancellation);

    /// <summary>Computes answers side by side, one token after the other.</summary>
    /// <param name="sequences">How many.</param>
    /// <param name="depth">Tokens that each sequence holds already.</param>
    /// <param name="tokens">Tokens of each answer.</param>
    /// <param name="cancellation">Gives up between two steps.</param>
    public abstract Task DecodeAsync(int sequences, int depth, int tokens, CancellationToken cancellation);

    /// <summary>Forgets the first sequences.</summary>
    public abstract Task ReleaseAsync(int sequences, CancellationToken cancellation);

    /// <summary>The hops of the steps since the last call, in order; empty where everything is in this process.</summary>
    /// <param name="test">What the steps were of.</param>
    public virtual IReadOnlyList<HopRow> TakeHops(BenchTest test) => [];

    /// <summary>The most memory that the processes which compute have held so far, in bytes.</summary>
    public abstract long PeakResident();

    /// <summary>What each worker says of its memory, in the pipeline's order; empty where everything is in this process.</summary>
    public virtual Task<IReadOnlyList<WorkerAccount>> AccountAsync(CancellationToken cancellation) =>
        Task.FromResult<IReadOnlyList<WorkerAccount>>([]);

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();
}
