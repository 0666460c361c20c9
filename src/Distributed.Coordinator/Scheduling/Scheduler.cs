using System.Collections.Concurrent;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Coordinator.Sessions;
using Distributed.Core;

namespace Distributed.Coordinator.Scheduling;

/// <summary>Brings requests into the pipeline and their tokens out of it.</summary>
public sealed class Scheduler : IAsyncDisposable
{
    /// <summary>The longest name of a session, in characters.</summary>
    public const int MaxSessionLength = 128;

    /// <summary>How long a request that has its last token waits for its KV to be released.</summary>
    internal static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(5);

    private readonly Action<Session, bool> _changed;
    private readonly Predicate<int> _isEnd;
    private readonly Admission _admission;
    private readonly int _context;
    private readonly bool _sharesPrefixes;
    private readonly ConcurrentDictionary<Task, bool> _ending = new();
    private readonly CancellationTokenSource _stop = new();

    /// <param name="pipeline">Runs the steps.</param>
    /// <param name="config">How many sequences run and wait, and the tokens in a step.</param>
    /// <param name="isEnd">Whether a token ends a generation.</param>
    /// <param name="changed">Told of every change of a session, and whether it should be on record soon; may not take time.</param>
    /// <param name="sharesPrefixes">Whether a request begins with the KV cache of another session where that has the same first tokens.</param>
    /// <param name="recovers">Whether another pipeline takes this one's place when it fails; else all requests fail with it.</param>
    public Scheduler(
        Pipeline pipeline, ClusterConfig config, Predicate<int> isEnd, Action<Session, bool> changed, bool recovers = false,
        bool sharesPrefixes = false)
    {
        Stopping = _stop.Token;
        _changed = changed;
        _isEnd = isEnd;
        _context = pipeline.Placement.Context;
        var kvBlocks = pipeline.Placement.Stages.Min(stage => stage.Spec.KvBlocks);
        _admission = new Admission(config.Sequences, kvBlocks, config.MaxWaiting, ReleaseAsync, session => changed(session, true));
        _sharesPrefixes = sharesPrefixes;
        Steps = new StepLoop(pipeline, config.MaxBatchTokens, recovers ? _admission.LoseKv : null, sharesPrefixes ? () => _admission.Sessions : null);
        if (!recovers)
            _ = CloseBehindAsync(pipeline);
    }

    /// <summary>What the pipeline's steps have carried so far.</summary>
    public StepCounts Counts => Steps.Counts;

    /// <summary>Requests that wait for a place.</summary>
    public int Waiting => _admission.Waiting;

    /// <summary>Prepares a generation, which begins when it is enumerated.</summary>
    /// <param name="request">What is asked for.</param>
    /// <param name="cancellation">Ends it early.</param>
    /// <exception cref="InvalidInputException">The request breaks rules, all of which are named.</exception>
    public Generation Generate(GenerationRequest request, CancellationToken cancellation)
    {
        var errors = Validate(request).ToList();
        if (errors.Count > 0)
            throw new InvalidInputException(errors);
        return new Generation(this, request, Steps.Pipeline.Placement, cancellation);
    }

    /// <summary>Requests that run, and that wait for a place.</summary>
    public (int Running, int Waiting) Load => _admission.Load;

    /// <summary>Tokens in the KV cache of each sequence with a request at work.</summary>
    internal IReadOnlyList<int> RunningTokens => _admission.RunningTokens;

    /// <summary>The sequences with a request at work, each with its tokens so far.</summary>
    internal IReadOnlyList<(long Sequence, int[] Tokens)> RunningSequences => _admission.RunningSequences;

    /// <summary>The sequences that have room set aside for them: their sessions' names, what they do, and blocks on every stage.</summary>
    internal IReadOnlyList<(string Id, long Sequence, string? State, int Blocks)> Places => _admission.Places;

    /// <summary>Takes a session over from the coordinator before this one.</summary>
    /// <param name="session">The session, idle.</param>
    /// <param name="blocks">Blocks that it holds on every stage.</param>
    internal void Restore(Session session, int blocks) => _admission.Restore(session, blocks);

    /// <summary>Numbers up to this one are not given to sequences: stages may know them.</summary>
    internal void SkipTo(long sequence) => _admission.SkipTo(sequence);

    /// <summary>Ends a session and frees its KV cache; one with a request running ends with that.</summary>
    /// <returns>Whether there is such a session.</returns>
    public Task<bool> EndSessionAsync(string id) => _admission.EndAsync(id);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _admission.Close(() => new OperationCanceledException("the coordinator is stopping"));
        await _stop.CancelAsync();
        await Task.WhenAll(_ending.Keys).WaitAsync(EndTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await Steps.DisposeAsync();
        _stop.Dispose();
    }

    /// <summary>Cancelled when the coordinator stops.</summary>
    internal CancellationToken Stopping { get; }

    /// <summary>Forms steps of all requests that have a place.</summary>
    internal StepLoop Steps { get; }

    internal Task<Place> EnterAsync(GenerationRequest request, CancellationToken cancellation) =>
        _admission.EnterAsync(request.Session, CachedTokens(request), cancellation, _sharesPrefixes ? request.Tokens : null);

    internal SequenceRun Run(Session session, GenerationRequest request) =>
        new(session, request, (token, generated) => Judge(request, token, generated), _changed);

    internal FinishReason? Judge(GenerationRequest request, int token, int generated)
    {
        if (!request.IgnoreEnd && _isEnd(token))
            return FinishReason.EndOfGeneration;
        return generated == MaxNewTokens(request) ? FinishReason.Length : null;
    }

    /// <summary>Ends a request: once its steps are through, its KV is kept for the session or released.</summary>
    internal Task EndAsync(Place place, SequenceRun run)
    {
        var ended = EndCoreAsync(place, run);
        _ending[ended] = true;
        _ = ended.ContinueWith(done => _ending.TryRemove(done, out _), TaskScheduler.Default);
        return ended;
    }

    private async Task EndCoreAsync(Place place, SequenceRun run)
    {
        var keep = await Steps.LeaveAsync(run) && place.Session is { Kept: true, CachedTokens: > 0 };
        if (keep)
        {
            place.Session.Rest();
            _changed(place.Session, true);
        }

        await _admission.LeaveAsync(place, keep);
    }

    private async Task ReleaseAsync(Session session)
    {
        await session.BeginReleaseAsync();
        try
        {
            // However long the steps take that were sent before: until the stages say so, the blocks are not free.
            await Steps.Pipeline.ReleaseAsync([session.Sequence], CancellationToken.None);
        }
        catch (StageFailureException)
        {
            // The pipeline has failed: its stages go, and the KV with them.
        }

        if (session.Kept && Stopping.IsCancellationRequested)
        {
            // The next coordinator goes on with it, if only with its tokens.
            session.Lost();
            session.Rest();
        }
        else
        {
            session.End();
        }

        _changed(session, true);
    }

    private async Task CloseBehindAsync(Pipeline pipeline)
    {
        var failure = await pipeline.Failed;
        _admission.Close(() => FailureAdvice.For(failure));
    }

    // At least one: it needs no room, being drawn behind the prompt's last token and computed no more.
    private int MaxNewTokens(GenerationRequest request) =>
        Math.Min(request.MaxTokens ?? int.MaxValue, Math.Max(1, _context - request.Tokens.Count));

    // The last token drawn is not computed any more.
    private int CachedTokens(GenerationRequest request) => request.Tokens.Count + MaxNewTokens(request) - 1;

    private IEnumerable<InputError> Validate(GenerationRequest request)
    {
        if (request.Tokens.Count == 0)
            yield return new InputError("prompt", "", "must have at least one token");
        if (request.Tokens.Count >= (request.MaxTokens == 1 ? _context + 1 : _context))
        {
            var rule = $"must be shorter than the context of {_context} tokens, so that there is room for an answer";
            yield return new InputError("prompt", $"{request.Tokens.Count} tokens", rule);
        }

        if (request.MaxTokens is < 1)
            yield return new InputError("max-tokens", $"{request.MaxTokens}", "must be 1 or more");
        if (request.TopLogProbs is < 0 or > GenerationRequest.MaxTopLogProbs)
        {
            var rule = $"must lie between 0 and {GenerationRequest.MaxTopLogProbs}";
            yield return new InputError("top-logprobs", $"{request.TopLogProbs}", rule);
        }

        if (request.Session is { } session && (session.Length is 0 or > MaxSessionLength || session.Any(char.IsControl)))
            yield return new InputError("session", session, $"must have 1 to {MaxSessionLength} printable characters");
        foreach (var error in request.Sampling.Validate())
            yield return error;
    }
}
