using System.Text;

namespace Distributed.Cli.Output;

/// <summary>Text from outside on its way to a terminal: it must not move the cursor, change colours or fill the screen.</summary>
internal static class Printable
{
    /// <summary>The text on as many lines as it has: control characters but line ends and tabs as U+FFFD.</summary>
    /// <param name="text">Any text.</param>
    public static string Text(string text)
    {
        var lines = new StringBuilder();
        foreach (var rune in text.EnumerateRunes())
            lines.Append(Rune.IsControl(rune) && rune.Value is not ('\n' or '\t') ? Rune.ReplacementChar : rune);
        return lines.ToString();
    }

    /// <summary>The text on one line: line ends as <c>\n</c>, other control characters as U+FFFD.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="maxLength">The most characters; a longer text ends with an ellipsis.</param>
    public static string Line(string text, int maxLength = int.MaxValue)
    {
        var line = new StringBuilder();
        foreach (var rune in text.EnumerateRunes())
        {
            if (line.Length >= maxLength)
                return line.Append('…').ToString();
            if (rune.Value == '\n')
                line.Append("\\n");
            else
                line.Append(Rune.IsControl(rune) ? Rune.ReplacementChar : rune);
        }

        return line.ToString();
    }
}
