using System.Text.Json.Serialization;
using Distributed.Cli.Output;
using Distributed.Gpu;
using Spectre.Console;

namespace Distributed.Cli.Lab;

/// <summary>Where a token's time goes on a device: one kernel's part of it.</summary>
/// <param name="Model">The model.</param>
/// <param name="Type">The format of its weights.</param>
/// <param name="Kernel">The kernel, or a copy; <c>all</c> for the sum.</param>
/// <param name="LaunchesPerToken">How often it is launched for a token.</param>
/// <param name="UsPerToken">Microseconds of a token on the device's own clock, its launches' gaps included.</param>
/// <param name="Share">Of the sum.</param>
internal sealed record KernelRow(string Model, string Type, string Kernel, double LaunchesPerToken, double UsPerToken, double Share)
{
    /// <summary>The heads of a file of rows.</summary>
    public static readonly string[] Heads = ["model", "type", "kernel", "launches_per_token", "us_per_token", "share"];

    /// <summary>The values under <see cref="Heads"/>.</summary>
    [JsonIgnore]
    public object?[] Cells => [Model, Type, Kernel, LaunchesPerToken, UsPerToken, Share];

    /// <summary>A row for each kernel, and their sum.</summary>
    /// <param name="model">The model.</param>
    /// <param name="type">The format of its weights.</param>
    /// <param name="kernels">What was measured.</param>
    /// <param name="tokens">Over how many tokens.</param>
    public static IEnumerable<KernelRow> Of(string model, string type, IReadOnlyList<KernelTime> kernels, int tokens)
    {
        var all = kernels.Sum(kernel => kernel.Time.TotalMicroseconds);
        return kernels.Append(new KernelTime("all", kernels.Sum(kernel => kernel.Launches), TimeSpan.FromMicroseconds(all))).Select(
            kernel => new KernelRow(
                model, type, kernel.Kernel, (double)kernel.Launches / tokens, kernel.Time.TotalMicroseconds / tokens, kernel.Time.TotalMicroseconds / all));
    }

    /// <summary>The rows as a table.</summary>
    public static Table TableOf(IEnumerable<KernelRow> rows)
    {
        var table = Tables.Create("model", "type", "kernel", ">launches/token", ">us/token", ">share");
        foreach (var row in rows)
            table.Line(row.Model, row.Type, row.Kernel, $"{row.LaunchesPerToken:0.#}", $"{row.UsPerToken:0.0}", $"{row.Share:P1}");
        return table;
    }
}
