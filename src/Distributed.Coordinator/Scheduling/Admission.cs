using Distributed.Coordinator.Sessions;
using Distributed.Core;

namespace Distributed.Coordinator.Scheduling;

/// <summary>
/// Who may run. A request gets a place when fewer than the most sequences run and every stage has KV blocks for all tokens it
/// may come to; until then it waits, first come, first served. Idle sessions make room, oldest first, when it is needed; one whose
/// first tokens are the request's own leaves it the KV cache as it is.
/// The lock is held for book-keeping only, never across a call.
/// </summary>
/// <param name="sequences">The most requests that run at once.</param>
/// <param name="kvBlocks">Blocks in the KV cache of every stage.</param>
/// <param name="maxWaiting">The most requests that wait.</param>
/// <param name="release">Frees a session's KV on every stage; done when the last stage has said so. May not throw.</param>
/// <param name="ended">Told, under the lock, that a session has left its KV cache to another one; null for nobody.</param>
internal sealed class Admission(int sequences, int kvBlocks, int maxWaiting, Func<Session, Task> release, Action<Session>? ended = null)
{
    private readonly Lock _lock = new();
    private readonly LinkedList<Waiter> _waiting = [];
    private readonly Dictionary<string, Place> _kept = [];
    private readonly HashSet<Place> _places = [];
    private Func<Exception>? _closed;
    private int _running;
    private int _usedBlocks;
    private int _releasingBlocks;
    private long _lastSequence;
    private long _lastUse;

    /// <summary>Requests that wait.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
                return _waiting.Count;
        }
    }

    /// <summary>Waits for a place.</summary>
    /// <param name="id">The session to go on with, or to begin; null for a session that ends with the request.</param>
    /// <param name="tokens">The most tokens the sequence may come to.</param>
    /// <param name="cancellation">Leaves the queue.</param>
    /// <param name="prompt">What it begins with; null where no session's KV cache is to be used for it.</param>
    /// <exception cref="InvalidInputException">Not even an empty KV cache has room for that many tokens.</exception>
    /// <exception cref="QueueFullException">Too many wait already.</exception>
    public async Task<Place> EnterAsync(
        string? id, int tokens, CancellationToken cancellation, IReadOnlyList<int>? prompt = null)
    {
        var blocks = StageSpec.BlocksFor(tokens);
        if (blocks > kvBlocks)
            throw new InvalidInputException("tokens", $"{tokens}", $"needs {blocks} blocks of KV cache, but a stage has {kvBlocks} in all");
        var waiter = new Waiter(id, blocks, prompt);
        LinkedListNode<Waiter> node;
        Work work;
        lock (_lock)
        {
            if (_closed is not null)
                throw _closed();
            node = _waiting.AddLast(waiter);
            work = Admit();
            if (node.List is not null && _waiting.Count > maxWaiting)
            {
                _waiting.Remove(node);
                waiter.Refuse(new QueueFullException(_running, _waiting.Count, maxWaiting));
            }
        }

        Do(work);
        await using var registration = cancellation.UnsafeRegister(_ => Abandon(node, cancellation), null);
        return await waiter.Place;
    }

    /// <summary>Takes a session over that holds blocks already; it is idle.</summary>
    public void Restore(Session session, int blocks)
    {
        lock (_lock)
        {
            var place = new Place(session) { LastUsed = ++_lastUse };
            _lastSequence = Math.Max(_lastSequence, session.Sequence);
            _places.Add(place);
            _kept[session.Id] = place;
            Resize(place, blocks);
        }
    }

    /// <summary>Numbers up to this one are not given to sequences.</summary>
    public void SkipTo(long sequence)
    {
        lock (_lock)
            _lastSequence = Math.Max(_lastSequence, sequence);
    }

    /// <summary>Ends a request. Done when its KV is released on every stage, or at once when that is kept.</summary>
    /// <param name="place">The request's place.</param>
    /// <param name="keep">Keep the KV cache for the session's next request.</param>
    public Task LeaveAsync(Place place, bool keep)
    {
        Work work;
        lock (_lock)
        {
            _running--;
            place.Running = false;
            place.LastUsed = ++_lastUse;
            keep &= place.Session is { Kept: true, CachedTokens: > 0 } && !place.Ending && _closed is null;
            if (keep)
                Resize(place, StageSpec.BlocksFor(place.Session.HeldTokens));
            else
                BeginRelease(place);
            work = Admit();
        }

        Do(work);
        return keep ? Task.CompletedTask : ReleaseAsync(place);
    }

    /// <summary>Requests that run, and that wait for a place.</summary>
    public (int Running, int Waiting) Load
    {
        get
        {
            lock (_lock)
                return (_running, _waiting.Count);
        }
    }

    /// <summary>The sessions that may have something in the KV cache and are not being released.</summary>
    public IReadOnlyList<Session> Sessions
    {
        get
        {
            lock (_lock)
                return [.. _places.Where(place => !place.Releasing).Select(place => place.Session)];
        }
    }

    /// <summary>Tokens that each session with a request at work has come to.</summary>
    public IReadOnlyList<int> RunningTokens
    {
        get
        {
            lock (_lock)
                return [.. _places.Where(place => place.Running).Select(place => place.Session.KnownTokens)];
        }
    }

    /// <summary>The sequences of sessions with a request at work, each with its tokens.</summary>
    public IReadOnlyList<(long Sequence, int[] Tokens)> RunningSequences
    {
        get
        {
            lock (_lock)
                return [.. _places.Where(place => place.Running).Select(place => (place.Session.Sequence, place.Session.TokensFrom(0)))];
        }
    }

    /// <summary>All that have blocks set aside.</summary>
    public IReadOnlyList<(string Id, long Sequence, string? State, int Blocks)> Places
    {
        get
        {
            lock (_lock)
            {
                return [.. _places.Select(place => (
                    place.Session.Id,
                    place.Session.Sequence,
                    (string?)(place.Releasing ? "ending" : place.Running ? "running" : "idle"),
                    place.Blocks))];
            }
        }
    }

    /// <summary>Ends a kept session: at once when it is idle, else with its request.</summary>
    /// <returns>Whether there is such a session.</returns>
    public async Task<bool> EndAsync(string id)
    {
        Place? place;
        lock (_lock)
        {
            if (!_kept.TryGetValue(id, out place))
                return false;
            if (!place.Idle)
            {
                place.Ending = true;
                return true;
            }

            BeginRelease(place);
        }

        await ReleaseAsync(place);
        return true;
    }

    /// <summary>The stages are gone, and with them all KV; idle sessions take no room any more, but their tokens are still known.</summary>
    public void LoseKv()
    {
        Work work;
        lock (_lock)
        {
            // Also those without a name, whose requests have drawn their last token: others might begin with what they had.
            foreach (var place in _places)
                place.Session.Lost();
            foreach (var place in _kept.Values.Where(place => place.Idle))
                Resize(place, 0);

            work = Admit();
        }

        Do(work);
    }

    /// <summary>Admits nobody any more: all who wait, and all who come, get an error of their own.</summary>
    public void Close(Func<Exception> error)
    {
        lock (_lock)
        {
            _closed ??= error;
            foreach (var waiter in _waiting)
                waiter.Refuse(_closed());
            _waiting.Clear();
        }
    }

    private void Abandon(LinkedListNode<Waiter> node, CancellationToken cancellation)
    {
        Work work;
        lock (_lock)
        {
            if (node.List is null)
                return;
            _waiting.Remove(node);
            node.Value.Cancel(cancellation);
            work = Admit();
        }

        Do(work);
    }

    /// <summary>Gives places to whoever is next, and says which idle sessions must go for it. Called under the lock.</summary>
    private Work Admit()
    {
        var work = new Work();
        for (var node = _waiting.First; node is not null && _running < sequences;)
        {
            var next = node.Next;
            var waiter = node.Value;
            var kept = waiter.Session is null ? null : _kept.GetValueOrDefault(waiter.Session);
            if (kept is { Idle: false })
            {
                // Its session's last request is not over; those behind it need not wait for that.
                node = next;
                continue;
            }

            var missing = waiter.Blocks - (kept?.Blocks ?? 0) - (kvBlocks - _usedBlocks);
            if (missing > 0)
            {
                var alike = kept is null ? MostAlike(waiter) : null;
                // The rest of the room may have to come from others first.
                if (!MakeRoom(missing - _releasingBlocks, kept, alike, work) || missing > alike!.Blocks)
                    break;
                kept = HandOver(alike, waiter);
                if (kept is null)
                {
                    // Others are about to share its blocks: it goes once they have.
                    BeginRelease(alike);
                    work.Evicted.Add(alike);
                    break;
                }
            }

            _waiting.Remove(node);
            work.Admitted.Add((waiter, Occupy(kept ?? NewPlace(waiter.Session), waiter.Blocks)));
            node = next;
        }

        return work;
    }

    private Place NewPlace(string? id)
    {
        var place = new Place(new Session(NameOf(id), ++_lastSequence, kept: id is not null));
        _places.Add(place);
        if (id is not null)
            _kept[id] = place;
        return place;
    }

    private Place Occupy(Place place, int blocks)
    {
        _running++;
        place.Running = true;
        Resize(place, Math.Max(blocks, StageSpec.BlocksFor(place.Session.HeldTokens)));
        return place;
    }

    // The idle session that has the most of a request's first tokens in the KV cache, a block of them at least.
    private Place? MostAlike(Waiter waiter)
    {
        if (waiter.Prompt is null)
            return null;
        var best = _kept.Values.Where(place => place.Idle).Select(place => (Place: place, Tokens: place.Session.Reusable(waiter.Prompt)))
            .DefaultIfEmpty().MaxBy(one => one.Tokens);
        return best.Tokens >= StageSpec.KvBlockTokens ? best.Place : null;
    }

    // The request's first step cuts off what is not its own, as if its session had gone on. Null while others use the blocks.
    private Place? HandOver(Place from, Waiter waiter)
    {
        var id = waiter.Session;
        if (from.Session.TryHandOver(NameOf(id), kept: id is not null, waiter.Prompt!) is not { } heir)
            return null;
        var place = new Place(heir) { Blocks = from.Blocks };
        _places.Remove(from);
        _places.Add(place);
        _kept.Remove(from.Session.Id);
        if (id is not null)
            _kept[id] = place;
        ended?.Invoke(from.Session);
        return place;
    }

    private static string NameOf(string? id) => id ?? $"request-{Guid.NewGuid():N}";

    // Whether the last of it is to come from the session that is alike.
    private bool MakeRoom(int blocks, Place? keep, Place? alike, Work work)
    {
        var gives = false;
        foreach (var idle in _kept.Values.Where(place => place is { Idle: true, Blocks: > 0 } && place != keep).OrderBy(place => place.LastUsed).ToList())
        {
            if (blocks <= 0)
                break;
            blocks -= idle.Blocks;
            if (idle == alike)
            {
                gives = true;
                continue;
            }

            BeginRelease(idle);
            work.Evicted.Add(idle);
        }

        return gives;
    }

    private void Resize(Place place, int blocks)
    {
        _usedBlocks += blocks - place.Blocks;
        place.Blocks = blocks;
    }

    private void BeginRelease(Place place)
    {
        place.Releasing = true;
        _releasingBlocks += place.Blocks;
    }

    private async Task ReleaseAsync(Place place)
    {
        await release(place.Session);
        Work work;
        lock (_lock)
        {
            _releasingBlocks -= place.Blocks;
            Resize(place, 0);
            _places.Remove(place);
            if (_kept.TryGetValue(place.Session.Id, out var kept) && kept == place)
                _kept.Remove(place.Session.Id);
            work = Admit();
        }

        Do(work);
    }

    private void Do(Work work)
    {
        foreach (var (waiter, place) in work.Admitted)
            waiter.Admit(place);
        foreach (var place in work.Evicted)
            _ = ReleaseAsync(place);
    }

    private sealed class Work
    {
        public List<(Waiter, Place)> Admitted { get; } = [];

        public List<Place> Evicted { get; } = [];
    }

    private sealed class Waiter(string? session, int blocks, IReadOnlyList<int>? prompt)
    {
        private readonly TaskCompletionSource<Place> _place = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public string? Session => session;

        public int Blocks => blocks;

        public IReadOnlyList<int>? Prompt => prompt;

        public Task<Place> Place => _place.Task;

        public void Admit(Place place) => _place.TrySetResult(place);

        public void Refuse(Exception error) => _place.TrySetException(error);

        public void Cancel(CancellationToken cancellation) => _place.TrySetCanceled(cancellation);
    }
}
