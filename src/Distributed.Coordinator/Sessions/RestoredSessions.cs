using System.Collections.Immutable;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Grains;
using Google.Protobuf.Collections;

namespace Distributed.Coordinator.Sessions;

/// <summary>The sessions that a coordinator has left on record, held against what the stages hold of them.</summary>
/// <param name="Sessions">Those that go on, and the blocks that each holds on every stage.</param>
/// <param name="Strays">Sequences on the stages that no session goes on with.</param>
internal sealed record RestoredSessions(IReadOnlyList<(Session Session, int Blocks)> Sessions, IReadOnlyList<long> Strays)
{
    /// <summary>The most sessions that go on; those that were used before are forgotten.</summary>
    public const int Max = 1024;

    private const int ReadsAtOnce = 32;

    /// <summary>The highest number that any sequence has had.</summary>
    public required long LastSequence { get; init; }

    /// <summary>Tokens on record, and how many of them are in the KV cache of every stage.</summary>
    public (int Known, int Kept) Tokens => (Sessions.Sum(one => one.Session.KnownTokens), Sessions.Sum(one => one.Session.CachedTokens));

    /// <summary>Reads the sessions, and forgets those that are of no use any more.</summary>
    /// <param name="grains">The way to the grains.</param>
    /// <param name="isSameModel">Whether they are of the model that is at work now; else all are forgotten.</param>
    /// <param name="held">What the stages hold, with tokens; nothing where all of them are new.</param>
    public static async Task<RestoredSessions> ReadAsync(IGrainFactory grains, bool isSameModel, IReadOnlyList<StageKv> held)
    {
        var directory = grains.GetGrain<ISessionDirectoryGrain>(ISessionDirectoryGrain.Key);
        var goingOn = new List<SessionRecord>();
        var last = held.SelectMany(stage => stage.Sequences).Select(one => one.Sequence).DefaultIfEmpty(0).Max();
        var useless = new List<string>();
        foreach (var ids in (await directory.ListAsync()).Reverse().Chunk(ReadsAtOnce))
        {
            foreach (var session in await Task.WhenAll(ids.Select(id => grains.GetGrain<ISessionGrain>(id).GetAsync())))
            {
                if (session is null)
                    continue;
                last = Math.Max(last, session.Sequence);
                if (session is { Kept: true, State: not SessionState.Ended } && isSameModel && goingOn.Count < Max)
                    goingOn.Add(session);
                else if (session.State != SessionState.Ended)
                    useless.Add(session.Id);
            }
        }

        foreach (var id in useless)
        {
            await directory.EnterAsync(id, SessionState.Ended);
            await grains.GetGrain<ISessionGrain>(id).ForgetAsync();
        }

        // One may have left its KV cache to another one, and not be on record as ended: the one used last has it.
        var taken = new HashSet<long>();
        var restored = goingOn.Select(session => !taken.Add(session.Sequence)
            ? Restore(session with { Sequence = ++last }, [])
            : Restore(session, held.Count > 0 && session.Epoch == held[0].Epoch ? held : [])).ToList();
        // The one used last comes last: idle sessions make room in that order.
        restored.Reverse();
        var goOn = restored.Where(one => one.Blocks > 0).Select(one => one.Session.Sequence).ToHashSet();
        var sequences = held.SelectMany(stage => stage.Sequences).Select(one => one.Sequence).Distinct().ToList();
        return new RestoredSessions(restored, [.. sequences.Where(sequence => !goOn.Contains(sequence))])
        {
            LastSequence = last,
        };
    }

    private static (Session Session, int Blocks) Restore(SessionRecord record, IReadOnlyList<StageKv> held)
    {
        var parts = held.Select(stage => stage.Sequences.FirstOrDefault(one => one.Sequence == record.Sequence)).ToList();
        var cached = parts.Count == 0 ? 0 : parts.Min(part => part is null ? 0 : Agreeing(record.Tokens, part.TokenIds));
        if (cached == 0)
            return (new Session(record, 0, 0), 0);
        return (
            new Session(record, cached, parts.Max(part => part!.SharedBlocks) * StageSpec.KvBlockTokens),
            StageSpec.BlocksFor(parts.Max(part => part!.Tokens)));
    }

    private static int Agreeing(ImmutableArray<int> known, RepeatedField<int> held)
    {
        var count = 0;
        while (count < known.Length && count < held.Count && known[count] == held[count])
            count++;
        return count;
    }
}
