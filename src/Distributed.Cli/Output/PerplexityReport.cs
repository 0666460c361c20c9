using System.Globalization;
using Distributed.Core.Sampling;

namespace Distributed.Cli.Output;

/// <summary>What <c>perplexity</c> has found.</summary>
/// <param name="Perplexity">The perplexity.</param>
/// <param name="StandardError">Its standard error; NaN for a single token.</param>
/// <param name="Model">The model's name.</param>
/// <param name="Context">Tokens in a chunk.</param>
/// <param name="Chunks">Chunks.</param>
/// <param name="ScoredTokens">Tokens that were scored, in all chunks.</param>
/// <param name="Seconds">How long it took, loading excepted.</param>
/// <param name="TokensPerSecond">Tokens of the chunks, scored or only seen, in a second.</param>
internal sealed record PerplexityReport(
    double Perplexity, double StandardError, string Model, int Context, int Chunks, long ScoredTokens, double Seconds, double TokensPerSecond)
{
    /// <summary>The report of a text that is scored.</summary>
    public static PerplexityReport Create(Perplexity result, string model, int context, int chunks, TimeSpan time) => new(
        result.Value,
        result.StandardError,
        model,
        context,
        chunks,
        result.Tokens,
        time.TotalSeconds,
        (double)chunks * context / time.TotalSeconds);

    /// <summary>Prints the figure to stdout, and what it stands on to stderr.</summary>
    public void Print(Terminal terminal)
    {
        terminal.Error.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{ScoredTokens} tokens scored in {Chunks} chunks of {Context} · {Seconds:0.0} s, {Units.TokensPerSecond(TokensPerSecond)}"));
        terminal.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"perplexity {Perplexity:0.0000} ± {StandardError:0.0000}"));
    }
}
