using Distributed.Core;
using Distributed.Core.Sampling;
using Distributed.Grains;

namespace Distributed.Coordinator.Sessions;

/// <summary>
/// A conversation and its KV cache in the pipeline, as the coordinator sees it. The scheduler writes it, the recorder reads
/// it from another thread; both for moments only.
/// </summary>
public sealed class Session
{
    private static long _lastRevision;
    private readonly Lock _lock = new();
    private readonly List<int> _tokens = [];
    private readonly DateTimeOffset _created = DateTimeOffset.UtcNow;
    private bool _restored;
    private int _prompt;
    private SamplingOptions _sampling = new();
    private SessionState _state = SessionState.Running;
    private long _revision;
    private int _cached;
    private int _held;
    private int _shared;
    private int _taken;
    private int _pins;
    private bool _releasing;
    private TaskCompletionSource? _unpinned;
    private int _recorded;

    /// <param name="id">The name, from the client or made up.</param>
    /// <param name="sequence">The number by which workers know it; never used twice in a pipeline, but by one that goes on with another's KV cache.</param>
    /// <param name="kept">Whether its KV cache outlives a request.</param>
    public Session(string id, long sequence, bool kept) => (Id, Sequence, Kept) = (id, sequence, kept);

    /// <summary>A session as another coordinator has left it.</summary>
    /// <param name="record">What is on record of it.</param>
    /// <param name="cached">How many of its tokens the KV cache of every stage holds.</param>
    /// <param name="shared">The end of the blocks that others may hold too; it may lie behind what is known to be cached.</param>
    internal Session(SessionRecord record, int cached, int shared)
        : this(record.Id, record.Sequence, record.Kept)
    {
        _tokens.AddRange(record.Tokens);
        (_created, _sampling, _prompt, _recorded) = (record.Created, record.Sampling, record.PromptTokens, record.Tokens.Length);
        (_cached, _shared, _restored) = (cached, shared, true);
        // What is written from now on is newer than what is on record.
        long last;
        while ((last = Interlocked.Read(ref _lastRevision)) < record.Revision)
            Interlocked.CompareExchange(ref _lastRevision, record.Revision, last);
        Change(SessionState.Idle);
    }

    /// <summary>The name.</summary>
    public string Id { get; }

    /// <summary>The number by which workers know it.</summary>
    public long Sequence { get; }

    /// <summary>Whether its KV cache outlives a request.</summary>
    public bool Kept { get; }

    /// <summary>Tokens it has come to.</summary>
    public int KnownTokens
    {
        get
        {
            lock (_lock)
                return _tokens.Count;
        }
    }

    /// <summary>Tokens in the KV cache of every stage.</summary>
    public int CachedTokens
    {
        get
        {
            lock (_lock)
                return _cached;
        }
    }

    /// <summary>Tokens that some stage still holds: more than are cached until a request's first step cuts them off.</summary>
    public int HeldTokens
    {
        get
        {
            lock (_lock)
                return Math.Max(_held, _cached);
        }
    }

    /// <summary>Rises with every change, over all sessions of the process.</summary>
    public long Revision
    {
        get
        {
            lock (_lock)
                return _revision;
        }
    }

    /// <summary>How many of a prompt's tokens the KV cache holds already; at most all but the last.</summary>
    /// <param name="prompt">All tokens of the conversation so far, at least one.</param>
    public int Reusable(IReadOnlyList<int> prompt)
    {
        lock (_lock)
            return CountReusable(prompt);
    }

    /// <summary>
    /// Whether a request repeats the one that the coordinator before this one was answering, or had answered last, and nothing has been
    /// asked of the session since: its client has not seen all of the answer, or cannot tell.
    /// </summary>
    /// <param name="prompt">The request's tokens.</param>
    /// <param name="sampling">How it draws.</param>
    /// <param name="anySeed">Whether the seed was not the client's choice: then the one on record is taken.</param>
    /// <param name="drawnBy">How the answer was drawn, with its seed.</param>
    /// <param name="drawn">The tokens of the answer that are on record.</param>
    internal bool Repeats(
        IReadOnlyList<int> prompt, SamplingOptions sampling, bool anySeed, out SamplingOptions drawnBy, out int[] drawn)
    {
        lock (_lock)
        {
            (drawnBy, drawn) = (_sampling, []);
            if (!_restored || _prompt != prompt.Count || !_tokens.Take(_prompt).SequenceEqual(prompt)
                || (anySeed ? sampling with { Seed = _sampling.Seed } : sampling) != _sampling)
                return false;
            drawn = [.. _tokens.Skip(_prompt)];
            return true;
        }
    }

    /// <summary>Starts a request of which nothing has been drawn yet: see <see cref="Begin(IReadOnlyList{int}, int, SamplingOptions)"/>.</summary>
    public int Begin(IReadOnlyList<int> prompt, SamplingOptions sampling) => Begin(prompt, prompt.Count, sampling);

    /// <summary>Starts a request; its first step must follow, since that is what cuts the KV cache back to what is said here.</summary>
    /// <param name="known">All tokens of the conversation so far, at least one.</param>
    /// <param name="prompt">How many of them are the request's prompt; what lies behind has been drawn for it before.</param>
    /// <param name="sampling">How the request draws its tokens.</param>
    /// <returns>How many of the known tokens the KV cache holds already; at most all but the last.</returns>
    public int Begin(IReadOnlyList<int> known, int prompt, SamplingOptions sampling)
    {
        lock (_lock)
        {
            var reused = CountReusable(known);
            _tokens.RemoveRange(reused, _tokens.Count - reused);
            _tokens.AddRange(known.Skip(reused));
            (_prompt, _restored) = (prompt, false);
            // What lies behind is cut off by the first step; until then it is of no use.
            (_cached, _held) = (reused, reused);
            _shared = Math.Min(_shared, Math.Max(reused, _taken));
            _taken = 0;
            _recorded = Math.Min(_recorded, reused);
            _sampling = sampling;
            Change(SessionState.Running);
            return reused;
        }
    }

    /// <summary>Takes down a drawn token, which is not in the KV cache yet.</summary>
    public void Append(int token)
    {
        lock (_lock)
        {
            _tokens.Add(token);
            Change(_state);
        }
    }

    /// <summary>Takes down that the KV cache of every stage now ends at <paramref name="tokens"/>.</summary>
    public void Cached(int tokens)
    {
        lock (_lock)
        {
            (_cached, _held) = (tokens, tokens);
            Change(_state);
        }
    }

    /// <summary>
    /// Takes down that a request is about to go on behind so many tokens: until its first step has gone nobody may share what that
    /// cuts off or writes to.
    /// </summary>
    public void CutBack(int tokens)
    {
        lock (_lock)
            _cached = Math.Min(_cached, tokens);
    }

    /// <summary>Takes down that the stages that held the KV cache are gone; the tokens are still known.</summary>
    public void Lost()
    {
        lock (_lock)
        {
            (_cached, _held, _shared, _taken) = (0, 0, 0, 0);
            Change(_state);
        }
    }

    /// <summary>Keeps the KV cache from being released until <see cref="Unpin"/>; false when that has begun already.</summary>
    public bool TryPin()
    {
        lock (_lock)
        {
            _pins += _releasing ? 0 : 1;
            return !_releasing;
        }
    }

    /// <summary>Ends one <see cref="TryPin"/>.</summary>
    public void Unpin()
    {
        lock (_lock)
            if (--_pins == 0)
                _unpinned?.TrySetResult();
    }

    /// <summary>Ends it, and has another session go on with its KV cache under the same number, behind the tokens they have in common.</summary>
    /// <param name="id">The other one's name.</param>
    /// <param name="kept">Whether the other one's KV cache outlives a request.</param>
    /// <param name="prompt">What the other one begins with.</param>
    /// <returns>The other one; null, and nothing has changed, while a third one is about to share blocks.</returns>
    internal Session? TryHandOver(string id, bool kept, IReadOnlyList<int> prompt)
    {
        lock (_lock)
        {
            if (_pins > 0 || _releasing)
                return null;
            var common = CountReusable(prompt);
            var heir = new Session(id, Sequence, kept)
            {
                _cached = common,
                _held = Math.Max(_held, _cached),
                _shared = _shared,
                _taken = _taken,
            };
            heir._tokens.AddRange(_tokens.Take(common));
            (_releasing, _cached, _held) = (true, 0, 0);
            Change(SessionState.Ended);
            return heir;
        }
    }

    /// <summary>From now on nobody can use the KV cache; done when nobody does.</summary>
    public Task BeginReleaseAsync()
    {
        lock (_lock)
        {
            _releasing = true;
            if (_pins == 0)
                return Task.CompletedTask;
            _unpinned ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _unpinned.Task;
        }
    }

    /// <summary>Takes down that blocks of the first tokens are shared: a later request goes on behind a whole one of them.</summary>
    public void Share(int tokens)
    {
        lock (_lock)
            _shared = Math.Max(_shared, tokens);
    }

    /// <summary>Takes down that its KV cache, empty until now, begins with another one's blocks, ahead of the request's first step.</summary>
    public void Take(int tokens)
    {
        lock (_lock)
            _shared = _taken = tokens;
    }

    /// <summary>The tokens from a position on.</summary>
    public int[] TokensFrom(int position)
    {
        lock (_lock)
            return [.. _tokens.Skip(position)];
    }

    /// <summary>Takes down that no request runs any more, but the KV cache stays.</summary>
    public void Rest()
    {
        lock (_lock)
            Change(SessionState.Idle);
    }

    /// <summary>Takes down that every stage has released the KV cache.</summary>
    public void End()
    {
        lock (_lock)
        {
            _cached = 0;
            Change(SessionState.Ended);
        }
    }

    /// <summary>The last tokens, oldest first, at most <paramref name="count"/>.</summary>
    public int[] Recent(int count)
    {
        lock (_lock)
            return [.. _tokens.TakeLast(count)];
    }

    /// <summary>What has changed since the last call, for the record.</summary>
    /// <param name="layout">Where the stages lie.</param>
    /// <param name="from">The position of the record's first token.</param>
    public SessionRecord TakeChanges(KvLayout layout, out int from)
    {
        lock (_lock)
        {
            from = _recorded;
            _recorded = _tokens.Count;
            return new SessionRecord
            {
                Id = Id,
                State = _state,
                Tokens = [.. _tokens.Skip(from)],
                Sampling = _sampling,
                Pipeline = layout.Pipeline,
                Epoch = layout.Epoch,
                Sequence = Sequence,
                Stages = layout.Of(_cached, _shared),
                Created = _created,
                Updated = DateTimeOffset.UtcNow,
                Revision = _revision,
                PromptTokens = _prompt,
                Kept = Kept,
            };
        }
    }

    /// <summary>Takes down that tokens from this position on are not on record after all.</summary>
    public void Unrecorded(int from)
    {
        lock (_lock)
            _recorded = Math.Min(_recorded, from);
    }

    private int CountReusable(IReadOnlyList<int> prompt)
    {
        // The last token is always computed again: its logits are what the first new token is drawn from.
        var reusable = Math.Min(_cached, prompt.Count - 1);
        var reused = 0;
        while (reused < reusable && _tokens[reused] == prompt[reused])
            reused++;
        // A shared block is not written to: the part of it that is the same is computed again in one of its own.
        return reused < _shared ? reused / StageSpec.KvBlockTokens * StageSpec.KvBlockTokens : reused;
    }

    private void Change(SessionState state)
    {
        _state = state;
        _revision = Interlocked.Increment(ref _lastRevision);
    }
}
