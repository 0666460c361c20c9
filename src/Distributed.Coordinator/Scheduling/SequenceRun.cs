using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Sessions;

namespace Distributed.Coordinator.Scheduling;

/// <summary>
/// One sequence on its way: what it sends through the pipeline next, and what comes back. Each step holds this sequence alone;
/// steps of several sequences follow each other through the stages.
/// </summary>
internal sealed class SequenceRun
{
    private readonly Pipeline _pipeline;
    private readonly Session _session;
    private readonly SessionRecorder _recorder;
    private readonly GenerationRequest _request;
    private readonly int _chunk;
    private readonly int _maxInFlight;
    private readonly Queue<Flight> _flights = new();
    private bool _broken;

    /// <param name="pipeline">Where steps go.</param>
    /// <param name="session">Whose tokens these are.</param>
    /// <param name="recorder">Is told of every change.</param>
    /// <param name="request">What is asked for.</param>
    /// <param name="chunk">The most tokens in a step.</param>
    public SequenceRun(Pipeline pipeline, Session session, SessionRecorder recorder, GenerationRequest request, int chunk)
    {
        _pipeline = pipeline;
        _session = session;
        _recorder = recorder;
        _request = request;
        _chunk = chunk;
        // Every stage has a chunk to compute, and the first one finds the next waiting.
        _maxInFlight = pipeline.Placement.Stages.Count + 1;
    }

    /// <summary>Sends the prompt in chunks, several of them on their way at a time.</summary>
    /// <returns>The last chunk's result, with the first token.</returns>
    /// <param name="reused">How many tokens of the prompt need not be sent.</param>
    /// <param name="cancellation">Stops sending; what is on its way is for <see cref="DrainAsync"/>.</param>
    public async Task<TimedResult> PrefillAsync(int reused, CancellationToken cancellation)
    {
        var next = reused;
        var length = _request.Tokens.Count;
        while (true)
        {
            while (next < length && _flights.Count < _maxInFlight)
            {
                var count = Math.Min(_chunk, length - next);
                Send(next, _session.CopyTokens(next, count), draw: next + count == length);
                next += count;
            }

            var result = await ReceiveAsync(cancellation);
            if (next == length && _flights.Count == 0)
                return result;
            cancellation.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Sends the token drawn last.</summary>
    /// <returns>The result, with the next token.</returns>
    public Task<TimedResult> DecodeAsync(int token, int position, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        Send(position, [token], draw: true);
        return ReceiveAsync(cancellation);
    }

    /// <summary>Waits for all that is on its way.</summary>
    /// <returns>Whether the KV cache is what the session says; not so once a step has failed.</returns>
    public async Task<bool> DrainAsync()
    {
        while (_flights.Count > 0)
        {
            try
            {
                await ReceiveAsync(CancellationToken.None);
            }
            catch (StageFailureException)
            {
                // Its request has ended already; that the KV cache is of no use any more is all that matters.
            }
        }

        return !_broken;
    }

    // A step once sent is computed whatever becomes of the request: nobody could know otherwise what the KV cache holds. So the
    // request's cancellation ends the waiting, not the step.
    private void Send(int start, int[] tokens, bool draw)
    {
        var slice = new Slice { Sequence = _session.Sequence, Start = start, Count = tokens.Length, Sampling = draw ? Sampling() : null };
        var sent = Stopwatch.GetTimestamp();
        _flights.Enqueue(new Flight(_pipeline.RunAsync([slice], tokens, CancellationToken.None), start + tokens.Length, sent));
    }

    private async Task<TimedResult> ReceiveAsync(CancellationToken cancellation)
    {
        var flight = _flights.Peek();
        try
        {
            var result = await flight.Result.WaitAsync(cancellation);
            _flights.Dequeue();
            if (!_broken)
                _session.Cached(flight.End);
            _recorder.Changed(_session);
            return new TimedResult(result, Stopwatch.GetElapsedTime(flight.Sent));
        }
        catch (StageFailureException error)
        {
            _flights.Dequeue();
            _broken = true;
            cancellation.ThrowIfCancellationRequested();
            throw FailureAdvice.For(error.Failure, error);
        }
    }

    private Cluster.Protocol.Sampling Sampling()
    {
        var options = _request.Sampling;
        return options.ToMessage(options.RepeatPenalty == 1 ? [] : _session.Recent(options.RepeatLastN), _request.TopLogProbs);
    }

    private readonly record struct Flight(Task<StepResult> Result, int End, long Sent);
}

/// <summary>What a step came to, and how long it took from sending to receiving.</summary>
internal readonly record struct TimedResult(StepResult Result, TimeSpan Time);
