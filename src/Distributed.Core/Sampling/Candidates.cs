namespace Distributed.Core.Sampling;

/// <summary>The tokens still in the draw, in buffers that are kept from call to call.</summary>
internal sealed class Candidates
{
    private readonly PriorityQueue<Candidate, Candidate> _best = new(Comparer<Candidate>.Create((a, b) => b.CompareTo(a)));
    private Candidate[] _items = [];
    private double[] _weights = [];

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>The ones there are; by falling logit after <see cref="TakeBest"/> and <see cref="Sort"/>, else by id.</summary>
    public ReadOnlySpan<Candidate> Items => _items.AsSpan(0, Count);

    /// <summary>Takes the <paramref name="count"/> highest logits, sorted, without sorting the others.</summary>
    public void TakeBest(ReadOnlySpan<float> logits, int count)
    {
        Reserve(count);
        for (var id = 0; id < count; id++)
            _best.Enqueue(new Candidate(logits[id], id), new Candidate(logits[id], id));
        var lowest = _best.Peek().Logit;
        for (var id = count; id < logits.Length; id++)
        {
            // Of equal logits the lower id stays, and that is the one already in.
            if (logits[id] <= lowest)
                continue;
            _best.DequeueEnqueue(new Candidate(logits[id], id), new Candidate(logits[id], id));
            lowest = _best.Peek().Logit;
        }
        Count = count;
        for (var i = count - 1; i >= 0; i--)
            _items[i] = _best.Dequeue();
    }

    /// <summary>Takes all tokens in the order of their ids.</summary>
    public void TakeAll(ReadOnlySpan<float> logits)
    {
        Reserve(logits.Length);
        Count = logits.Length;
        for (var id = 0; id < logits.Length; id++)
            _items[id] = new Candidate(logits[id], id);
    }

    /// <summary>Puts the highest logits first; of equal ones, the lowest id.</summary>
    public void Sort() => _items.AsSpan(0, Count).Sort();

    /// <summary>Keeps the first <paramref name="count"/>.</summary>
    public void Truncate(int count) => Count = count;

    /// <summary>Keeps those with a logit of at least <paramref name="lowest"/>.</summary>
    public void DropBelow(float lowest)
    {
        var kept = 0;
        for (var i = 0; i < Count; i++)
            if (_items[i].Logit >= lowest)
                _items[kept++] = _items[i];
        Count = kept;
    }

    /// <summary>exp((logit − max) / temperature) of each candidate, and their sum, added in the candidates' order.</summary>
    public ReadOnlySpan<double> Weigh(float max, float temperature, out double sum)
    {
        sum = 0;
        for (var i = 0; i < Count; i++)
        {
            _weights[i] = Math.Exp(((double)_items[i].Logit - max) / temperature);
            sum += _weights[i];
        }
        return _weights.AsSpan(0, Count);
    }

    private void Reserve(int count)
    {
        if (_items.Length >= count)
            return;
        _items = new Candidate[count];
        _weights = new double[count];
    }
}

/// <summary>A token and its logit; the smaller in order is the more probable one, or the lower id.</summary>
internal readonly record struct Candidate(float Logit, int Id) : IComparable<Candidate>
{
    /// <inheritdoc/>
    public int CompareTo(Candidate other)
    {
        var byLogit = other.Logit.CompareTo(Logit);
        return byLogit != 0 ? byLogit : Id.CompareTo(other.Id);
    }
}
