using Distributed.Cli.Output;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Cli.Commands;

/// <summary>Prints an answer as it comes.</summary>
internal static class AnswerPrinter
{
    /// <summary>Prints to the end of the answer, and ends the line.</summary>
    /// <param name="terminal">Where: on stdout. Where that is a screen, control characters of the answer do not reach it.</param>
    /// <param name="generation">Begins now.</param>
    /// <param name="printed">Told of each token once its text is out; null for nobody.</param>
    /// <param name="cancellation">Ends the answer.</param>
    /// <returns>The text.</returns>
    public static async Task<string> PrintAsync(
        Terminal terminal, TextGeneration generation, Action<GeneratedToken>? printed, CancellationToken cancellation)
    {
        var answer = new StringWriter();
        var begun = false;
        try
        {
            await foreach (var piece in generation.WithCancellation(cancellation))
            {
                begun = true;
                terminal.Out.Write(terminal.IsOutputInteractive ? Printable.Text(piece.Text) : piece.Text);
                answer.Write(piece.Text);
                printed?.Invoke(piece.Token);
            }

            return answer.ToString();
        }
        finally
        {
            if (begun)
                terminal.Out.WriteLine();
        }
    }
}
