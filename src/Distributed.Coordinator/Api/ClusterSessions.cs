using System.Text.Json.Serialization;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Api;

/// <summary>
/// Where the KV cache lies of every sequence there is, as the workers themselves say: <c>GET /sessions</c>. Sizes are bytes.
/// </summary>
/// <param name="Pipeline">The name the workers know the pipeline by.</param>
/// <param name="Epoch">The number of its placement.</param>
/// <param name="Stages">What the stages have in all; nothing after a failure, until other stages are there.</param>
/// <param name="Sessions">The sequences, those that came first at the beginning.</param>
public sealed record ClusterSessions(
    string Pipeline, long Epoch, IReadOnlyList<StageKvStatus> Stages, IReadOnlyList<SessionStatus> Sessions)
{
    /// <summary>Asks the workers what their stages hold, and puts it together with the sessions' names.</summary>
    /// <exception cref="StageFailureException">A worker does not answer.</exception>
    internal static async Task<ClusterSessions> OfAsync(CoordinatorHost host, CancellationToken cancellation)
    {
        // One look: another pipeline may take its place at any moment.
        var pipeline = host.Pipeline;
        IReadOnlyList<StageKv> reports = [];
        try
        {
            if (!pipeline.Failed.IsCompleted)
                reports = await pipeline.ReportKvAsync(cancellation);
        }
        catch (StageFailureException) when (pipeline.Failed.IsCompleted)
        {
            // The KV cache has gone with the stages; the sessions are there still.
        }

        var places = host.Scheduler.Places.ToDictionary(place => place.Sequence);
        var stages = reports.Select(report => new StageKvStatus(
            report.Stage,
            pipeline.Placement.Stages[report.Stage].Worker,
            report.Device,
            report.FirstLayer,
            report.EndLayer,
            report.Blocks,
            report.Blocks - report.FreeBlocks,
            report.BlockBytes,
            (report.Blocks - report.FreeBlocks) * report.BlockBytes));
        var sequences = reports.SelectMany(report => report.Sequences.Select(held => held.Sequence)).Union(places.Keys).Order();
        return new ClusterSessions(pipeline.Name, pipeline.Epoch, [.. stages], [.. sequences.Select(sequence =>
        {
            var place = places.GetValueOrDefault(sequence);
            var held = reports.Select(report => (report.Stage, Kv: report.Sequences.FirstOrDefault(one => one.Sequence == sequence)));
            return new SessionStatus(
                place.Id,
                sequence,
                place.State ?? "ending",
                place.Blocks,
                [.. held.Where(one => one.Kv is not null).Select(one => new SessionStageStatus(
                    one.Stage, one.Kv!.Tokens, one.Kv.Blocks, one.Kv.Bytes, one.Kv.Blocks - one.Kv.SharedBlocks, one.Kv.SharedBlocks))]);
        })]);
    }
}

/// <summary>The KV cache of one stage.</summary>
/// <param name="Stage">Its place in the pipeline, from 0.</param>
/// <param name="Worker">The worker.</param>
/// <param name="Device">The device.</param>
/// <param name="FirstLayer">The first layer.</param>
/// <param name="EndLayer">One past the last layer.</param>
/// <param name="Blocks">All blocks.</param>
/// <param name="UsedBlocks">Blocks that some sequence holds; one that several share counts once.</param>
/// <param name="BlockBytes">Bytes of a block over the stage's layers.</param>
/// <param name="UsedBytes">Bytes of the used blocks.</param>
public sealed record StageKvStatus(
    int Stage, string Worker, string Device, int FirstLayer, int EndLayer, int Blocks, int UsedBlocks, long BlockBytes, long UsedBytes);

/// <summary>One sequence.</summary>
/// <param name="Id">The session's name; null where a stage still holds it and the coordinator has let it go.</param>
/// <param name="Sequence">The number by which workers know it.</param>
/// <param name="State"><c>running</c>, <c>idle</c> (kept for its next request) or <c>ending</c>.</param>
/// <param name="ReservedBlocks">Blocks set aside for it on every stage, for all tokens its request may come to.</param>
/// <param name="Stages">What it holds, by stage; stages where it holds nothing are left out.</param>
public sealed record SessionStatus(
    string? Id, long Sequence, string State, int ReservedBlocks, IReadOnlyList<SessionStageStatus> Stages);

/// <summary>What a sequence holds on one stage.</summary>
/// <param name="Stage">The stage; <see cref="StageKvStatus"/> says where it is.</param>
/// <param name="Tokens">Tokens in the KV cache.</param>
/// <param name="Blocks">Blocks they take.</param>
/// <param name="Bytes">Bytes of these blocks.</param>
/// <param name="OwnBlocks">Blocks that nobody else holds.</param>
/// <param name="SharedBlocks">Blocks that other sequences with the same first tokens hold too.</param>
public sealed record SessionStageStatus(int Stage, int Tokens, int Blocks, long Bytes, int OwnBlocks, int SharedBlocks);

/// <summary>How these types are read and written.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, MaxDepth = 16)]
[JsonSerializable(typeof(ClusterSessions))]
public sealed partial class SessionsJson : JsonSerializerContext;
