using System.Diagnostics;
using Distributed.Cli.Bench;
using Distributed.Cli.Output;
using Distributed.Cluster.Config;
using Distributed.Coordinator;
using Distributed.Coordinator.Scheduling;
using Distributed.Coordinator.State;
using Distributed.Core.Sampling;
using Microsoft.Extensions.Logging;
using Spectre.Console;

namespace Distributed.Cli.Lab;

/// <summary>One answer of a pair.</summary>
/// <param name="Pair">Which pair, from 0.</param>
/// <param name="State">What the coordinator kept its sessions in: <c>sqlite</c> or <c>memory</c>.</param>
/// <param name="Tokens">Tokens behind the first one.</param>
/// <param name="MsPerToken">ms from one of them to the next, on average.</param>
/// <param name="CpuUsPerToken">µs of this process, which is the coordinator, for each of them.</param>
internal sealed record StateSample(int Pair, string State, int Tokens, double MsPerToken, double CpuUsPerToken);

/// <summary>What keeping sessions in SQLite costs, over all pairs.</summary>
/// <param name="Model">The model.</param>
/// <param name="Pairs">Answers with each.</param>
/// <param name="Tokens">Tokens of each answer that were timed.</param>
/// <param name="SqliteMs">ms per token that are kept in SQLite: the median.</param>
/// <param name="MemoryMs">ms per token that are not kept: the median.</param>
/// <param name="Ratio">The first by the second of the same pair: the median.</param>
/// <param name="LowerQuartile">A quarter of the ratios is below.</param>
/// <param name="UpperQuartile">A quarter of the ratios is above.</param>
/// <param name="SqliteCpuUs">µs of the coordinator's processor time per token with SQLite: the median.</param>
/// <param name="MemoryCpuUs">The same without.</param>
internal sealed record StateCost(
    string Model, int Pairs, int Tokens, double SqliteMs, double MemoryMs, double Ratio, double LowerQuartile, double UpperQuartile,
    double SqliteCpuUs, double MemoryCpuUs)
{
    /// <summary>The medians of some pairs.</summary>
    public static StateCost Of(string model, IReadOnlyList<StateSample> samples)
    {
        var (sqlite, memory) = (InOrder(StateLab.Sqlite), InOrder(StateLab.Memory));
        double[] ratios = [.. sqlite.Zip(memory, (kept, free) => kept.MsPerToken / free.MsPerToken).Order()];
        return new StateCost(
            model, ratios.Length, sqlite[0].Tokens,
            Statistics.Median(sqlite.Select(sample => sample.MsPerToken)), Statistics.Median(memory.Select(sample => sample.MsPerToken)),
            Statistics.Median(ratios), ratios[ratios.Length / 4], ratios[ratios.Length * 3 / 4],
            Statistics.Median(sqlite.Select(sample => sample.CpuUsPerToken)), Statistics.Median(memory.Select(sample => sample.CpuUsPerToken)));

        List<StateSample> InOrder(string state) => [.. samples.Where(sample => sample.State == state).OrderBy(sample => sample.Pair)];
    }

    /// <summary>The same for people.</summary>
    public Table Table()
    {
        var table = Tables.Create("sessions in", ">pairs", ">tokens", ">ms/token", ">coordinator", ">times memory", ">quartiles");
        table.Line("memory", $"{Pairs}", $"{Tokens}", $"{MemoryMs:0.000}", Units.Microseconds(MemoryCpuUs), "1", "");
        table.Line(
            "SQLite", $"{Pairs}", $"{Tokens}", $"{SqliteMs:0.000}", Units.Microseconds(SqliteCpuUs), $"{Ratio:0.000}",
            $"{LowerQuartile:0.000} {UpperQuartile:0.000}");
        return table;
    }
}

/// <summary>
/// The same answers from two coordinators on the same workers, of which one keeps its sessions in a SQLite file as <c>serve</c> does and
/// one in memory: one answer of each at a time, in turns.
/// </summary>
internal sealed class StateLab : IAsyncDisposable
{
    /// <summary>The <see cref="StateSample.State"/> of what is kept.</summary>
    public const string Sqlite = "sqlite";

    /// <summary>The one of what is not.</summary>
    public const string Memory = "memory";

    /// <summary>Pairs that do not count: what they run is compiled while they last.</summary>
    private const int WarmUp = 3;

    private static readonly int[] Prompt = [.. Enumerable.Range(10, 8)];

    private readonly CoordinatorHost _kept;
    private readonly CoordinatorHost _free;
    private readonly DirectoryInfo _folder;

    private StateLab(CoordinatorHost kept, CoordinatorHost free, DirectoryInfo folder) => (_kept, _free, _folder) = (kept, free, folder);

    /// <summary>The longest answer that fits a context, in tokens.</summary>
    public static int LongestAnswer(int context) => context - Prompt.Length;

    /// <summary>Loads the model twice.</summary>
    /// <param name="config">The cluster, whose workers are running. Its own state is left alone.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="Cluster.StageFailureException">A worker cannot be reached or refuses its stage.</exception>
    public static async Task<StateLab> StartAsync(ClusterConfig config, CancellationToken cancellation)
    {
        var folder = Directory.CreateTempSubdirectory("distributed-state-");
        CoordinatorHost? kept = null;
        try
        {
            config = config with { Data = folder.FullName, State = new StateConfig() };
            kept = await CoordinatorHost.StartAsync(config, LogLevel.Warning, null, StateStore.Open(config), cancellation);
            var free = await CoordinatorHost.StartAsync(config, LogLevel.Warning, null, cancellation);
            return new StateLab(kept, free, folder);
        }
        catch
        {
            if (kept is not null)
                await kept.DisposeAsync();
            folder.Delete(recursive: true);
            throw;
        }
    }

    /// <summary>Takes some pairs of answers.</summary>
    /// <param name="pairs">How many count.</param>
    /// <param name="tokens">Tokens of each answer, at least 2.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<IReadOnlyList<StateSample>> RunAsync(int pairs, int tokens, CancellationToken cancellation)
    {
        List<StateSample> samples = [];
        for (var pair = -WarmUp; pair < pairs; pair++)
        {
            // Now the one first and now the other, so that neither has the better place.
            foreach (var isKept in pair % 2 == 0 ? (bool[])[true, false] : [false, true])
            {
                var sample = await AnswerAsync(isKept, pair, tokens, cancellation);
                if (pair >= 0)
                    samples.Add(sample);
            }
        }

        return samples;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _free.DisposeAsync();
        await _kept.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    private async Task<StateSample> AnswerAsync(bool isKept, int pair, int tokens, CancellationToken cancellation)
    {
        var request = new GenerationRequest
        {
            Tokens = Prompt,
            Sampling = new SamplingOptions { Temperature = 0 },
            MaxTokens = tokens,
            IgnoreEnd = true,
        };
        var (first, last) = (0L, 0L);
        var (began, ended) = (TimeSpan.Zero, TimeSpan.Zero);
        await foreach (var _ in (isKept ? _kept : _free).Scheduler.Generate(request, cancellation))
        {
            last = Stopwatch.GetTimestamp();
            if (first == 0)
                (first, began) = (last, Environment.CpuUsage.TotalTime);
        }

        ended = Environment.CpuUsage.TotalTime;
        return new StateSample(
            pair, isKept ? Sqlite : Memory, tokens - 1, Stopwatch.GetElapsedTime(first, last).TotalMilliseconds / (tokens - 1),
            (ended - began).TotalMicroseconds / (tokens - 1));
    }
}
