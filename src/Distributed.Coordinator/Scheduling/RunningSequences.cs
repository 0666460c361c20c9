namespace Distributed.Coordinator.Scheduling;

/// <summary>
/// The sequences of a <see cref="StepLoop"/>, each in the line it stands in: prompts by turns, ready for decode the longest waiting
/// first, paused for their consumer, or waiting for a step of their own. One whose decode token is on its way stands in none.
/// </summary>
internal sealed class RunningSequences
{
    private readonly HashSet<SequenceRun> _all = [];
    private readonly List<SequenceRun> _prompts = [];
    private readonly List<SequenceRun> _ready = [];
    private readonly List<SequenceRun> _paused = [];
    private readonly List<SequenceRun> _suspects = [];

    // Of the batch being formed; used again for every one.
    private readonly List<(SequenceRun Run, int Count)> _takes = [];
    private PromptDemand[] _demands = new PromptDemand[16];
    private int[] _chunks = new int[16];

    /// <summary>How many there are.</summary>
    public int Count => _all.Count;

    /// <summary>All of them.</summary>
    public IReadOnlyCollection<SequenceRun> All => _all;

    /// <summary>Those whose next token can go at once.</summary>
    public int Ready => _ready.Count;

    /// <summary>Those whose prompt is sent to its end and that draw tokens as fast as steps go.</summary>
    public int CountDecoding()
    {
        var waiting = _prompts.Count + _paused.Count + _suspects.Count;
        return _all.Count - waiting;
    }

    /// <summary>Takes a sequence in, at the end of the line.</summary>
    public void Add(SequenceRun run)
    {
        _all.Add(run);
        _prompts.Add(run);
    }

    /// <summary>Takes a sequence in that has to compute its tokens again, unless its consumer has enough to take first.</summary>
    public void AddAgain(SequenceRun run)
    {
        _all.Add(run);
        (run.IsBehind && run.Pause() ? _paused : _prompts).Add(run);
    }

    /// <summary>Lets a sequence go that has ended or left.</summary>
    public void Remove(SequenceRun run)
    {
        if (!_all.Remove(run))
            return;
        _ = _prompts.Remove(run) || _ready.Remove(run) || _paused.Remove(run) || _suspects.Remove(run);
    }

    /// <summary>Lets all go.</summary>
    public IReadOnlyList<SequenceRun> Clear()
    {
        SequenceRun[] all = [.. _all];
        foreach (var line in (List<SequenceRun>[])[_prompts, _ready, _paused, _suspects])
            line.Clear();
        _all.Clear();
        return all;
    }

    /// <summary>Forms the next batch.</summary>
    /// <returns>Whose tokens, and how many; empty when there is nothing to send now. Good until the next call.</returns>
    public IReadOnlyList<(SequenceRun Run, int Count)> Form(in BatchState state)
    {
        _takes.Clear();
        if (_prompts.Count > _demands.Length)
        {
            _demands = new PromptDemand[_prompts.Count * 2];
            _chunks = new int[_prompts.Count * 2];
        }

        for (var i = 0; i < _prompts.Count; i++)
            _demands[i] = _prompts[i].Demand;
        var decode = BatchFormation.Form(state, _demands.AsSpan(0, _prompts.Count), _chunks.AsSpan(0, _prompts.Count));
        for (var i = 0; i < decode; i++)
            _takes.Add((_ready[i], 1));
        for (var i = 0; i < _prompts.Count; i++)
            if (_chunks[i] > 0)
                _takes.Add((_prompts[i], _chunks[i]));
        return _takes;
    }

    /// <summary>The next sequence that must go alone and has nothing on its way; null when there is none.</summary>
    /// <param name="maxTokens">The most tokens in a step.</param>
    public (SequenceRun Run, int Count)? TakeSuspect(int maxTokens)
    {
        foreach (var run in _suspects)
            if (run.InFlight == 0)
                return (run, Math.Clamp(run.Waiting, 1, maxTokens));
        return null;
    }

    /// <summary>A part of a sequence has been sent: its next turn comes after everybody else's.</summary>
    public void Sent(SequenceRun run)
    {
        _ = _prompts.Remove(run) || _ready.Remove(run) || _suspects.Remove(run);
        if (run is { Waiting: > 0, Suspect: false })
            _prompts.Add(run);
    }

    /// <summary>A part of a sequence has come back, and it goes on.</summary>
    public void Continue(SequenceRun run)
    {
        // Behind a chunk that is not the prompt's last it stands in line already, unless it was alone until now.
        if (run.Waiting > 0)
        {
            if (!_prompts.Contains(run))
                _prompts.Add(run);
        }
        else if (run.InFlight == 0)
        {
            (run.IsBehind && run.Pause() ? _paused : _ready).Add(run);
        }
    }

    /// <summary>A step that a sequence shared has failed: from now on it goes alone.</summary>
    public void Suspect(SequenceRun run)
    {
        _ = _prompts.Remove(run) || _ready.Remove(run) || _paused.Remove(run) || _suspects.Remove(run);
        _suspects.Add(run);
    }

    /// <summary>Lets those go on whose consumers have taken tokens.</summary>
    public void ResumePaused()
    {
        for (var i = _paused.Count - 1; i >= 0; i--)
        {
            var run = _paused[i];
            if (run.IsBehind)
                continue;
            _paused.RemoveAt(i);
            run.Resume();
            (run.Waiting > 0 ? _prompts : _ready).Add(run);
        }
    }
}
