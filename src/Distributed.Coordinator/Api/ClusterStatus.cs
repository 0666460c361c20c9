using System.Text.Json.Serialization;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Recovery;
using Distributed.Core;

namespace Distributed.Coordinator.Api;

/// <summary>What a running coordinator says of itself and its cluster: <c>GET /status</c>. Sizes are bytes, times ms.</summary>
/// <param name="State"><c>ready</c>, <c>recovering</c> or <c>failed</c>.</param>
/// <param name="Reason">What it recovers from, or what is missing; null while it is ready.</param>
/// <param name="Model">The model's name.</param>
/// <param name="Context">The longest sequence, in tokens.</param>
/// <param name="Sequences">How many may run at once.</param>
/// <param name="Running">How many do.</param>
/// <param name="Waiting">Requests that wait for a place.</param>
/// <param name="Choice">How the placement was chosen.</param>
/// <param name="DecodeMs">The predicted time of a token at half the context; null where nothing is predicted.</param>
/// <param name="Stages">The placement.</param>
/// <param name="Workers">The workers of the cluster.</param>
/// <param name="Links">The links that were measured.</param>
/// <param name="Epoch">The number of the placement; it rises with every new one.</param>
/// <param name="Recoveries">The last times the pipeline failed and went on elsewhere, the latest at the end.</param>
/// <param name="Restart">What it found of the coordinator before it; null where there was none.</param>
/// <param name="PrefillTokens">Tokens computed in chunks since its start: prompts, and what had to be computed again.</param>
/// <param name="DecodeTokens">Tokens computed one by one.</param>
/// <param name="Drained">Workers that no placement uses until they are asked back.</param>
/// <param name="Unwritten">Why sessions are not written to the coordinator's state; null while they are.</param>
/// <param name="Leadership">Which of several coordinators says this; null where there is one alone.</param>
public sealed record ClusterStatus(
    string State, string? Reason, string Model, int Context, int Sequences, int Running, int Waiting, PlanChoice Choice, double? DecodeMs,
    IReadOnlyList<StageStatus> Stages, IReadOnlyList<WorkerStatus> Workers, IReadOnlyList<LinkStatus> Links,
    long Epoch, IReadOnlyList<RecoveryReport> Recoveries, RestartReport? Restart, long PrefillTokens, long DecodeTokens,
    IReadOnlyList<string> Drained, string? Unwritten, Leadership? Leadership)
{
    /// <summary>Asks the workers how they are, and puts it together with the placement.</summary>
    internal static async Task<ClusterStatus> OfAsync(CoordinatorHost host, CancellationToken cancellation)
    {
        var now = await host.AskWorkersAsync(cancellation);
        // One look: another pipeline may take its place at any moment.
        var pipeline = host.Pipeline;
        var placement = pipeline.Placement;
        var (state, reason) = host.Condition;
        var (running, waiting) = host.Scheduler.Load;
        return new ClusterStatus(
            state,
            reason,
            host.Model.Config.Name,
            placement.Context,
            host.Config.Sequences,
            running,
            waiting,
            placement.Choice,
            placement.Costs?.Decode(placement.Context / 2.0, host.Config.PlanFor).TokenMs,
            [.. placement.Stages.Select(stage => new StageStatus(
                stage.Index, stage.Worker, stage.Device, stage.Spec.FirstLayer, stage.Spec.EndLayer, pipeline.Memory[stage.Index]))],
            [.. host.Config.Workers.Zip(now).Select(pair => WorkerStatus.Of(
                $"{pair.First.Address}", pair.Second, host.Survey.Workers.GetValueOrDefault(pair.First.Name)))],
            LinkStatus.Of(host.Survey.Links),
            pipeline.Epoch,
            host.Recovery.Reports,
            host.Restart,
            host.Scheduler.Counts.PromptTokens,
            host.Scheduler.Counts.DecodeTokens,
            host.Recovery.Drained,
            host.Unwritten,
            host.Leadership);
    }
}

/// <summary>One stage.</summary>
/// <param name="Stage">Its place in the pipeline, from 0.</param>
/// <param name="Worker">The worker.</param>
/// <param name="Device">The device.</param>
/// <param name="FirstLayer">The first layer.</param>
/// <param name="EndLayer">One past the last layer.</param>
/// <param name="Memory">The worker's own account.</param>
public sealed record StageStatus(int Stage, string Worker, string Device, int FirstLayer, int EndLayer, StageMemory Memory);

/// <summary>One worker.</summary>
/// <param name="Worker">Its name in the cluster.</param>
/// <param name="Address">Where it listens.</param>
/// <param name="Answers">Whether it answers now.</param>
/// <param name="Version">The program's version; empty where it does not answer.</param>
/// <param name="Reason">Why it does not answer, or not so that it can be used; null where it does.</param>
/// <param name="Devices">Its devices; those it had at the start where it does not answer now.</param>
public sealed record WorkerStatus(
    string Worker, string Address, bool Answers, string Version, string? Reason, IReadOnlyList<DeviceStatus> Devices)
{
    internal static WorkerStatus Of(string address, WorkerAnswer answer, WorkerDescription? atStart) => new(
        answer.Name,
        address,
        answer.Description is not null,
        answer.Description?.Version ?? "",
        answer.Failure?.Message,
        [.. ((answer.Description ?? atStart)?.Devices ?? []).Select(device => new DeviceStatus(
            device.Name,
            device.Hardware,
            device.Threads,
            device.MemoryLimit,
            device.MemoryUsed,
            atStart?.Devices.FirstOrDefault(known => known.Name == device.Name)?.Profile is { } profile ? ProfileStatus.Of(profile) : null))]);
}

/// <summary>One device.</summary>
/// <param name="Device">Its name.</param>
/// <param name="Hardware">The processor's or the card's own name.</param>
/// <param name="Threads">Threads that compute.</param>
/// <param name="MemoryLimit">What stages may take.</param>
/// <param name="MemoryUsed">What they have taken.</param>
/// <param name="Profile">What it can do; null where that was not measured.</param>
public sealed record DeviceStatus(string Device, string Hardware, int Threads, long MemoryLimit, long MemoryUsed, ProfileStatus? Profile);

/// <summary>What a device can do.</summary>
/// <param name="Measured">When that was measured.</param>
/// <param name="ReadBytesPerSecond">A plain read of memory.</param>
/// <param name="LayerMs">What a layer costs a token besides products and attention.</param>
/// <param name="Products">By format of weights.</param>
public sealed record ProfileStatus(DateTimeOffset Measured, double ReadBytesPerSecond, double LayerMs, IReadOnlyList<ProductStatus> Products)
{
    internal static ProfileStatus Of(DeviceProfile profile) => new(
        DateTimeOffset.FromUnixTimeMilliseconds(profile.MeasuredUnixMs),
        profile.ReadBytesPerSecond,
        profile.Layer.ByTokens[0].SecondsPerLayer * 1000,
        [.. profile.Types_.Select(type => new ProductStatus(
            type.Type,
            1 / Cluster.ProductTimes.OfTokens(type, 1),
            1 / Cluster.ProductTimes.OfTokens(type, 8),
            1 / Cluster.ProductTimes.OfTokens(type, 256)))]);
}

/// <summary>Bytes of weights of a format that a device multiplies with per second.</summary>
/// <param name="Type">The format.</param>
/// <param name="One">With one token.</param>
/// <param name="Few">With 8 tokens at once.</param>
/// <param name="Many">With 256 tokens at once.</param>
public sealed record ProductStatus(string Type, double One, double Few, double Many);

/// <summary>One way between two nodes.</summary>
/// <param name="From">The sender.</param>
/// <param name="To">The receiver.</param>
/// <param name="RoundTripMs">There and back.</param>
/// <param name="BytesPerSecond">What large frames cross with.</param>
public sealed record LinkStatus(string From, string To, double RoundTripMs, double BytesPerSecond)
{
    /// <summary>The links that were measured.</summary>
    public static IReadOnlyList<LinkStatus> Of(LinkTable links) =>
    [
        .. links.All.Select(link => new LinkStatus(
            link.Key.From is LinkTable.Coordinator ? "coordinator" : link.Key.From,
            link.Key.To is LinkTable.Coordinator ? "coordinator" : link.Key.To,
            link.Value.Latency * 2000,
            link.Value.BytesPerSecond)),
    ];
}

/// <summary>How these types are read and written.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, MaxDepth = 16, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(ClusterStatus))]
public sealed partial class StatusJson : JsonSerializerContext;
