using System.Diagnostics;
using System.Threading.Channels;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Sessions;

namespace Distributed.Coordinator.Scheduling;

/// <summary>
/// A request on its way: what of its sequence is sent, what is drawn, and the tokens its consumer has not taken yet. The
/// <see cref="StepLoop"/> alone changes it; the consumer only takes tokens.
/// </summary>
internal sealed class SequenceRun
{
    /// <summary>So many drawn tokens wait for the consumer; then the sequence pauses until it takes one.</summary>
    public const int MaxUnread = 32;

    // One more may be on its way when the limit is reached.
    private readonly Channel<GeneratedToken> _drawn = Channel.CreateBounded<GeneratedToken>(
        new BoundedChannelOptions(MaxUnread + 1) { SingleReader = true, SingleWriter = true });

    private readonly TaskCompletionSource<bool> _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly GenerationRequest _request;
    private readonly IReadOnlyList<int> _prompt;
    private readonly Func<int, int, FinishReason?> _judge;
    private readonly Action<Session, bool> _changed;
    private int _firstToCompute;
    private int[] _replayed = [];
    private int _lost;
    private Cluster.Protocol.Sampling? _sampling;
    private bool _begun;
    private int _lastToken;
    private int _generated;
    private bool _uncertain;
    private volatile bool _paused;

    /// <param name="session">Whose tokens these are; nobody else may change it while the request runs.</param>
    /// <param name="request">What is asked for.</param>
    /// <param name="judge">Whether a token, the how-manieth it is, ends the generation.</param>
    /// <param name="changed">Told of every change of the session; may not take time.</param>
    public SequenceRun(
        Session session, GenerationRequest request, Func<int, int, FinishReason?> judge, Action<Session, bool> changed)
    {
        Session = session;
        if (session.Repeats(request.Tokens, request.Sampling, request.AnySeed, out var drawnBy, out var drawn))
        {
            request = request with { Sampling = drawnBy };
            Recorded = request.FromRecord ? drawn : [];
        }

        (_request, _judge, _changed, _generated) = (request, judge, changed, Recorded.Count);
        // To the stages, what was drawn before is a part of the prompt.
        _prompt = Recorded.Count == 0 ? request.Tokens : [.. request.Tokens, .. Recorded];
    }

    /// <summary>
    /// Finds what the KV cache holds of the prompt. Called by the loop that computes the rest: until then the cache may be lost with its
    /// stages.
    /// </summary>
    /// <param name="share">
    /// Has a session without a KV cache begin with another one's: from the prompt, how many tokens it has from then on. Null not to.
    /// </param>
    public void Join(Func<Session, IReadOnlyList<int>, int>? share = null)
    {
        var own = Session.CachedTokens > 0 || share is null ? Session.Reusable(_prompt) : share(Session, _prompt);
        Session.CutBack(own);
        Sent = _firstToCompute = ReusedTokens = own;
    }

    /// <summary>Whose tokens these are.</summary>
    public Session Session { get; }

    /// <summary>Tokens that were drawn for the same request by the coordinator before this one.</summary>
    public IReadOnlyList<int> Recorded { get; } = [];

    /// <summary>Tokens of the prompt that the KV cache held already.</summary>
    public int ReusedTokens { get; private set; }

    /// <summary>Positions sent, or found in the KV cache.</summary>
    public int Sent { get; private set; }

    /// <summary>Tokens of the prompt that are not sent; after a loss, of all that were known then.</summary>
    public int Waiting => Math.Max(0, Known - Sent);

    /// <summary>The prompt, for <see cref="BatchFormation"/>.</summary>
    public PromptDemand Demand => new(Waiting, Known - _firstToCompute);

    /// <summary>Tokens that are computed in chunks: the prompt, and after a loss what had been drawn behind it by then.</summary>
    public int Known => _prompt.Count + _replayed.Length;

    /// <summary>Has tokens to compute that had been computed before.</summary>
    public bool Replays { get; private set; }

    /// <summary>Parts of steps on their way.</summary>
    public int InFlight { get; private set; }

    /// <summary>Rises when a step failed and its tokens have to be sent again.</summary>
    public int Attempt { get; private set; }

    /// <summary>No step comes any more: all tokens are drawn, or it failed.</summary>
    public bool Ended { get; private set; }

    /// <summary>The consumer wants no more.</summary>
    public bool Left { get; private set; }

    /// <summary>A step it shared has failed, so it goes in steps of its own until one succeeds.</summary>
    public bool Suspect { get; private set; }

    /// <summary>Since when its next token could be on its way, a timestamp of <see cref="Stopwatch"/>.</summary>
    public long ReadySince { get; private set; } = Stopwatch.GetTimestamp();

    /// <summary>The consumer has so many tokens to take that no more are drawn for now.</summary>
    public bool IsBehind => _drawn.Reader.Count >= MaxUnread;

    /// <summary>Takes the next token.</summary>
    /// <param name="loop">Is woken when the sequence had paused for its consumer.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="StageFailureException">The sequence failed; the message says what to do.</exception>
    public async ValueTask<GeneratedToken> NextAsync(StepLoop loop, CancellationToken cancellation)
    {
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            if (TryTake() is { } token)
            {
                if (_paused)
                    loop.Wake();
                return token;
            }

            if (!await WaitAsync())
                throw new InvalidOperationException("the last token has been taken already");
        }

        async ValueTask<bool> WaitAsync()
        {
            try
            {
                return await _drawn.Reader.WaitToReadAsync(cancellation);
            }
            catch (StageFailureException)
            {
                cancellation.ThrowIfCancellationRequested();
                throw;
            }
        }
    }

    /// <summary>Takes the next token if there is one; else null.</summary>
    public GeneratedToken? TryTake() => _drawn.Reader.TryRead(out var token) ? token : null;

    /// <summary>
    /// Completes when the consumer has left and nothing is on its way any more: whether the KV cache is what the session says; not so
    /// once a step has failed.
    /// </summary>
    public Task<bool> Drained => _drained.Task;

    /// <summary>The next part to send: a chunk of the prompt, or the token drawn last.</summary>
    /// <param name="count">Tokens; 1 behind the prompt.</param>
    /// <param name="slice">Gets the part as the workers see it.</param>
    /// <param name="tokens">Gets its tokens.</param>
    public FlightPart Take(int count, out Slice slice, ICollection<int> tokens)
    {
        var (start, ofPrompt) = (Sent, Waiting > 0);
        if (!_begun)
        {
            // Not before: what lies behind in the KV cache is cut off by this first step.
            Session.Begin(_prompt, _request.Tokens.Count, _request.Sampling);
            _begun = true;
        }

        for (var position = start; position < start + count; position++)
            tokens.Add(position < _prompt.Count ? _prompt[position]
                : position < Known ? _replayed[position - _prompt.Count] : _lastToken);
        Sent += count;
        InFlight++;
        var draws = Waiting == 0;
        slice = new Slice { Sequence = Session.Sequence, Start = start, Count = count, Sampling = draws ? Sampling() : null };
        return new FlightPart(this, start, count, ofPrompt, draws, Attempt);
    }

    /// <summary>A part has come back.</summary>
    /// <param name="part">The part.</param>
    /// <param name="drawn">The token drawn behind it; null where none was asked for.</param>
    /// <param name="step">The step.</param>
    /// <param name="time">How long the step took.</param>
    /// <returns>Whether it goes on from here: not when it ended, or the part counts no more.</returns>
    public bool Land(in FlightPart part, SampledToken? drawn, SharedStep step, TimeSpan time)
    {
        InFlight--;
        if (part.Attempt != Attempt || Ended)
            return false;
        (Suspect, _uncertain) = (false, false);
        Session.Cached(part.End);
        if (drawn is not null && !Left)
            Draw(drawn, step, part.OfPrompt && _generated == Recorded.Count ? time : Stopwatch.GetElapsedTime(ReadySince));
        _changed(Session, false);
        return !Ended && !Left;
    }

    /// <summary>A part has failed together with others: its tokens, and all sent behind them, have to be sent again.</summary>
    /// <returns>Whether it does so: not when it ended, or has done so already.</returns>
    public bool Retry(in FlightPart part)
    {
        InFlight--;
        if (part.Attempt != Attempt || Ended)
            return false;
        Attempt++;
        Sent = part.Start;
        (Suspect, _uncertain) = (true, true);
        return !Left;
    }

    /// <summary>
    /// The KV cache is lost with the stages that held it, and with it all that was on its way: the known tokens are to be computed
    /// again, wherever the next stages are. The same tokens follow, since what is drawn depends on nothing but those before.
    /// </summary>
    /// <param name="mostLosses">So often in a row it may be part of what is lost.</param>
    /// <param name="isLoss">Whether something broke; else the stages are moved.</param>
    /// <returns>False when that was too often: it may be what breaks the stages.</returns>
    public bool Rewind(int mostLosses, bool isLoss = true)
    {
        _lost += InFlight > 0 && isLoss ? 1 : 0;
        Attempt++;
        (InFlight, Sent, _firstToCompute) = (0, 0, 0);
        (Suspect, _uncertain, Replays) = (false, false, _begun);
        if (_begun)
            _replayed = Session.TokensFrom(_prompt.Count);
        Session.Lost();
        return _lost <= mostLosses;
    }

    /// <summary>After <see cref="Rewind"/>: the next stages have the KV cache of these tokens of the sequence already.</summary>
    /// <returns>How many of them it begins with and need not compute; none where it has not begun.</returns>
    public int Keep(IReadOnlyList<int> tokens)
    {
        // The last one is computed in any case: the next one is drawn behind it.
        var most = Replays ? Math.Min(tokens.Count, Known - 1) : 0;
        var kept = 0;
        while (kept < most && tokens[kept] == (kept < _prompt.Count ? _prompt[kept] : _replayed[kept - _prompt.Count]))
            kept++;
        if (kept == 0)
            return 0;
        Sent = _firstToCompute = kept;
        Session.Cached(kept);
        return kept;
    }

    /// <summary>A part has failed alone.</summary>
    public void Fail(in FlightPart part, StageFailureException error)
    {
        InFlight--;
        if (part.Attempt == Attempt)
            Fail(error);
    }

    /// <summary>Ends it with an error, after the tokens that are drawn already.</summary>
    public void Fail(Exception error)
    {
        _uncertain |= InFlight > 0 || error is StageFailureException;
        Ended = true;
        _drawn.Writer.TryComplete(error);
    }

    /// <summary>The consumer wants no more.</summary>
    public void Leave() => Left = true;

    /// <summary>Says that nothing is on its way any more; done once however often it is said.</summary>
    /// <param name="abandoned">What was on its way will not come back.</param>
    public void Drain(bool abandoned = false) => _drained.TrySetResult(!_uncertain && !(abandoned && InFlight > 0));

    /// <summary>Lets the sequence pause until its consumer takes a token.</summary>
    /// <returns>False when it has taken one meanwhile.</returns>
    public bool Pause()
    {
        // In this order: a consumer that takes a token after the look sees that it must wake the loop.
        _paused = true;
        return _paused = IsBehind;
    }

    /// <summary>Lets it go on.</summary>
    public void Resume()
    {
        _paused = false;
        ReadySince = Stopwatch.GetTimestamp();
    }

    private void Draw(SampledToken drawn, SharedStep step, TimeSpan time)
    {
        _lastToken = drawn.Token;
        (_lost, Replays) = (0, false);
        Session.Append(drawn.Token);
        var reason = _judge(drawn.Token, ++_generated);
        _drawn.Writer.TryWrite(new GeneratedToken(drawn.Token, drawn.LogProb, drawn.Top, step, time, reason));
        ReadySince = Stopwatch.GetTimestamp();
        if (reason is null)
            return;
        Ended = true;
        _drawn.Writer.TryComplete();
    }

    // The same message in every step, unless the penalty looks at what was drawn.
    private Cluster.Protocol.Sampling Sampling()
    {
        var options = _request.Sampling;
        if (options.RepeatPenalty != 1)
            return options.ToMessage(Session.Recent(options.RepeatLastN), _request.TopLogProbs);
        return _sampling ??= options.ToMessage([], _request.TopLogProbs);
    }
}
