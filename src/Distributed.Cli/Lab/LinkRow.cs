using System.Globalization;
using Distributed.Cli.Bench;
using Distributed.Cli.Output;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Google.Protobuf.Collections;
using Grpc.Core;
using Spectre.Console;

namespace Distributed.Cli.Lab;

/// <summary>The times of one link.</summary>
internal sealed record LinkSamples(WorkerConfig From, WorkerConfig To, string? Link, LinksPlan Plan, ProbeLinkReply Times)
{
    /// <summary>The heads of <see cref="Rows"/>.</summary>
    public static string[] Heads { get; } = ["from", "to", "link", "what", "transport", "bytes", "round", "ns"];

    /// <summary>Has a worker time its link to another one.</summary>
    /// <exception cref="StageFailureException">One of the two does not answer.</exception>
    public static async Task<LinkSamples> TakeAsync(
        ClusterConfig config, WorkerConfig from, WorkerConfig to, LinksPlan plan, CancellationToken cancellation)
    {
        var link = config.LinkBetween(from.Name, to.Name)?.ToString();
        var request = new ProbeLinkRequest
        {
            Address = to.Address.ToString(),
            Link = link ?? "",
            StepBytes = plan.StepBytes,
            Steps = plan.Steps,
            ChunkBytes = plan.ChunkBytes,
            Chunks = plan.Chunks,
            WantRaw = true,
            Peer = to.Name,
        };
        using var channel = NodeChannel.Open(from.Address, config.ConnectTimeout, config.LinkOf(from.Name), config.PeerOf(from.Name));
        try
        {
            var times = await new StageService.StageServiceClient(channel).ProbeLinkAsync(request, cancellationToken: cancellation);
            return times.Failure is null ? new LinkSamples(from, to, link, plan, times) : throw new StageFailureException(times.Failure);
        }
        catch (RpcException error)
        {
            cancellation.ThrowIfCancellationRequested();
            throw StageFailureException.From(error, FailureCode.HopLost, from.Name);
        }
    }

    /// <summary>Every round trip as a row of <c>data.csv</c>.</summary>
    public IEnumerable<object?[]> Rows() =>
    [
        .. RowsOf("step", "forward", Plan.StepBytes, Times.StepNs), .. RowsOf("step", "socket", Plan.StepBytes, Times.RawStepNs),
        .. RowsOf("chunk", "forward", Plan.ChunkBytes, Times.ChunkNs), .. RowsOf("chunk", "socket", Plan.ChunkBytes, Times.RawChunkNs),
    ];

    private IEnumerable<object?[]> RowsOf(string what, string transport, int bytes, IEnumerable<long> times) =>
        times.Select((time, round) => (object?[])[From.Name, To.Name, Link, what, transport, bytes, round, time]);
}

/// <summary>What one link came to: medians. GB are 10⁹ bytes.</summary>
/// <param name="From">The worker that sends.</param>
/// <param name="To">The worker that receives.</param>
/// <param name="Link">What the link was made to be; null where it was left as it is.</param>
/// <param name="Wire">The format of hidden states.</param>
/// <param name="StepBytes">Bytes of one token's hidden states.</param>
/// <param name="RoundTripUs">µs until they were back, over a Forward stream.</param>
/// <param name="RawRoundTripUs">The same over a plain socket; null between machines and on shaped links.</param>
/// <param name="ChunkBytes">Bytes of a chunk's hidden states.</param>
/// <param name="ChunkGBps">Their bytes per second, until acknowledged, over a Forward stream.</param>
/// <param name="RawChunkGBps">The same over a plain socket; null between machines and on shaped links.</param>
internal sealed record LinkRow(
    string From, string To, string? Link, string Wire, int StepBytes, double RoundTripUs, double? RawRoundTripUs, int ChunkBytes,
    double ChunkGBps, double? RawChunkGBps)
{
    /// <summary>The medians of a link's times.</summary>
    public static LinkRow Of(LinkSamples samples)
    {
        var (plan, times) = (samples.Plan, samples.Times);
        return new LinkRow(
            samples.From.Name, samples.To.Name, samples.Link, plan.Wire.ToName(), plan.StepBytes, Median(times.StepNs)!.Value / 1e3,
            Median(times.RawStepNs) / 1e3, plan.ChunkBytes, plan.ChunkBytes / Median(times.ChunkNs)!.Value, plan.ChunkBytes / Median(times.RawChunkNs));
    }

    /// <summary>The rows for people.</summary>
    public static Table Table(IReadOnlyList<LinkRow> rows)
    {
        var table = Tables.Create("link", ">step", ">round trip", ">socket", ">chunk", ">GB/s", ">socket");
        foreach (var row in rows)
            table.Line(
                $"{row.From} to {row.To}", Units.Bytes(row.StepBytes), Units.Microseconds(row.RoundTripUs),
                row.RawRoundTripUs is { } raw ? Units.Microseconds(raw) : "-", Units.Bytes(row.ChunkBytes), Rate(row.ChunkGBps), Rate(row.RawChunkGBps));
        return table;

        static string Rate(double? rate) => rate is null ? "-" : string.Create(CultureInfo.InvariantCulture, $"{rate:0.00}");
    }

    private static double? Median(RepeatedField<long> times) =>
        times.Count == 0 ? null : Statistics.Median(times.Select(time => (double)time));
}
