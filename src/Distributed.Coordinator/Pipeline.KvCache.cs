using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;

namespace Distributed.Coordinator;

// What concerns the KV cache of its stages besides steps.
public sealed partial class Pipeline
{
    /// <summary>Frees the KV cache of sequences on every stage, behind the steps already sent.</summary>
    /// <exception cref="StageFailureException">The pipeline has failed.</exception>
    public async Task ReleaseAsync(IReadOnlyList<long> sequences, CancellationToken cancellation)
    {
        var release = new Release { Epoch = Epoch };
        release.Sequences.Add(sequences);
        // Whoever releases one that is being released waits for the same.
        var completions = sequences.Select(sequence => _releases.GetOrAdd(
            sequence, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously))).ToArray();
        await EnqueueAsync(new Order(null, release), cancellation);
        foreach (var completion in completions)
            await WaitAsync(AsResult(completion.Task), cancellation);
    }

    /// <summary>
    /// Has a new sequence begin with blocks of another one on every stage, behind the steps already sent. It does not wait: there has to
    /// be room in the queue.
    /// </summary>
    /// <returns>Whether it is in the queue; not so when the pipeline has failed.</returns>
    internal bool TryFork(Fork fork) => _orders.Writer.TryWrite(new Order(null, new Release { Epoch = Epoch, Forks = { fork } }));

    /// <summary>Asks the workers what the KV cache of each stage holds; one entry per stage, in order.</summary>
    /// <param name="cancellation">Stops asking.</param>
    /// <exception cref="StageFailureException">A worker does not answer.</exception>
    public Task<IReadOnlyList<StageKv>> ReportKvAsync(CancellationToken cancellation) => ReportKvAsync(withTokens: false, cancellation);

    /// <summary>The same, where wanted with the tokens of each sequence.</summary>
    /// <inheritdoc cref="ReportKvAsync(CancellationToken)"/>
    internal async Task<IReadOnlyList<StageKv>> ReportKvAsync(bool withTokens, CancellationToken cancellation)
    {
        try
        {
            return await _workers.ReportKvAsync(new KvRequest { Pipeline = Name, WantTokens = withTokens }, cancellation);
        }
        catch (ObjectDisposedException)
        {
            // Its connections end with it.
            throw new StageFailureException(await Failed);
        }
    }

    /// <summary>Has a stage take the KV cache of sequences over from the stages that had its layers before; bytes.</summary>
    /// <param name="stage">The stage.</param>
    /// <param name="sources">Those stages, in the order of their layers.</param>
    /// <param name="sequences">The sequences, each with the tokens that all of them hold.</param>
    /// <param name="patience">How long it may take.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="StageFailureException">It did not come within the time, or there is no room for it; the stage is as it was.</exception>
    internal Task<long> MoveKvAsync(
        StagePlacement stage, IEnumerable<KvSource> sources, IEnumerable<MovedSequence> sequences, TimeSpan patience,
        CancellationToken cancellation) =>
        _workers.MoveKvAsync(
            stage,
            new MoveKvRequest { Pipeline = Name, Epoch = Epoch, Stage = stage.Index, Term = _term, Sources = { sources }, Sequences = { sequences } },
            patience, cancellation);
}
