using Distributed.Coordinator.Scheduling;

namespace Distributed.Cli.Commands;

/// <summary>Prints an answer as it comes.</summary>
internal static class AnswerPrinter
{
    /// <summary>Prints to the end of the answer, and ends the line.</summary>
    /// <param name="writer">Where.</param>
    /// <param name="generation">Begins now.</param>
    /// <param name="cancellation">Ends the answer.</param>
    /// <returns>The text.</returns>
    public static async Task<string> PrintAsync(TextWriter writer, TextGeneration generation, CancellationToken cancellation)
    {
        var answer = new StringWriter();
        var begun = false;
        try
        {
            await foreach (var piece in generation.WithCancellation(cancellation))
            {
                begun = true;
                writer.Write(piece.Text);
                answer.Write(piece.Text);
            }

            return answer.ToString();
        }
        finally
        {
            if (begun)
                writer.WriteLine();
        }
    }
}
