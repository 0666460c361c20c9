using System.Text;

namespace Distributed.Core.Chat;

/// <summary>
/// A Jinja template in a form that does not depend on how it is typed: blank space inside tags, the kind of quotes,
/// <c>a.b</c> for <c>a['b']</c>, text for a string in a tag, two outputs for one with <c>+</c>. Templates of one outline give one
/// text, rendered as chat templates are: with trim_blocks and lstrip_blocks.
/// </summary>
internal sealed class JinjaOutline
{
    private readonly StringBuilder _outline = new();
    private readonly StringBuilder _literal = new();

    private JinjaOutline()
    {
    }

    /// <summary>The outline; null for what is not understood.</summary>
    public static string? Of(string template)
    {
        template = template.Replace("\r\n", "\n", StringComparison.Ordinal);
        if (template.EndsWith('\n'))
            template = template[..^1];
        var outline = new JinjaOutline();
        return outline.Read(template) ? outline._outline.ToString() : null;
    }

    private bool Read(string template)
    {
        var (at, trimsStart) = (0, false);
        while (true)
        {
            var open = FindTag(template, at);
            var text = template[at..open];
            var startsLine = at == 0 || template[at - 1] == '\n';
            if (trimsStart)
                text = text.TrimStart();
            if (open == template.Length)
            {
                _literal.Append(text);
                FlushLiteral();
                return true;
            }

            var kind = template[open + 1];
            var close = FindClose(template, open + 2, kind == '{' ? '}' : kind);
            if (close < 0)
                return false;
            var tag = template[(open + 2)..close];
            if (tag.StartsWith('-'))
                (text, tag) = (text.TrimEnd(), tag[1..]);
            else if (kind != '{')
                text = TrimIndent(text, startsLine);
            _literal.Append(text);

            trimsStart = tag.EndsWith('-');
            if (!AddTag(kind, trimsStart ? tag[..^1] : tag))
                return false;
            at = close + 2;
            if (kind != '{' && at < template.Length && template[at] == '\n')
                at++;
        }
    }

    private bool AddTag(char kind, string tag)
    {
        if (kind == '#')
            return true;
        if (kind == '%')
        {
            Add('%', WithoutStyle(tag));
            return true;
        }

        foreach (var operand in SplitAtPlus(tag))
        {
            var value = operand.Trim();
            if (value.Length == 0)
                return false;
            if (value[0] is '\'' or '"' && EndOfString(value, 0) == value.Length - 1)
                _literal.Append(Unescape(value[1..^1]));
            else
                Add('{', WithoutStyle(value));
        }
        return true;
    }

    private void Add(char kind, string text)
    {
        FlushLiteral();
        AddPart(kind, text);
    }

    private void FlushLiteral()
    {
        if (_literal.Length > 0)
            AddPart('=', _literal.ToString());
        _literal.Clear();
    }

    // Lengths keep what a template says from being taken for the outline's own marks.
    private void AddPart(char kind, string text) => _outline.Append(kind).Append(text.Length).Append(':').Append(text);

    private static int FindTag(string template, int from)
    {
        for (var at = from; at < template.Length - 1; at++)
            if (template[at] == '{' && template[at + 1] is '{' or '%' or '#')
                return at;
        return template.Length;
    }

    private static int FindClose(string template, int from, char mark)
    {
        for (var at = from; at < template.Length - 1; at++)
        {
            if (template[at] == mark && template[at + 1] == '}')
                return at;
            if (mark != '#' && template[at] is '\'' or '"' && (at = EndOfString(template, at)) < 0)
                return -1;
        }
        return -1;
    }

    /// <summary>Where the string that starts at <paramref name="start"/> has its closing quote; negative when it has none.</summary>
    private static int EndOfString(string text, int start)
    {
        for (var at = start + 1; at < text.Length; at++)
        {
            if (text[at] == text[start])
                return at;
            if (text[at] == '\\')
                at++;
        }
        return -1;
    }

    /// <summary>Takes away the blanks between the beginning of a line and a block.</summary>
    private static string TrimIndent(string text, bool startsLine)
    {
        var trimmed = text.TrimEnd(' ', '\t');
        return trimmed.EndsWith('\n') || (trimmed.Length == 0 && startsLine) ? trimmed : text;
    }

    private static List<string> SplitAtPlus(string expression)
    {
        var operands = new List<string>();
        var (start, depth) = (0, 0);
        for (var at = 0; at < expression.Length; at++)
        {
            var c = expression[at];
            if (c is '\'' or '"')
                at = EndOfString(expression, at);
            else if (c is '(' or '[' or '{')
                depth++;
            else if (c is ')' or ']' or '}')
                depth--;
            else if (c == '+' && depth == 0)
            {
                operands.Add(expression[start..at]);
                start = at + 1;
            }
        }
        operands.Add(expression[start..]);
        return operands;
    }

    private static string WithoutStyle(string code)
    {
        var plain = new StringBuilder();
        for (var at = 0; at < code.Length; at++)
        {
            if (code[at] is '\'' or '"')
            {
                var end = EndOfString(code, at);
                plain.Append('\'').Append(Unescape(code[(at + 1)..end])).Append('\'');
                at = end;
            }
            else if (code[at] == '.' && at + 1 < code.Length && char.IsAsciiLetter(code[at + 1]))
            {
                var end = at + 1;
                while (end < code.Length && (char.IsAsciiLetterOrDigit(code[end]) || code[end] == '_'))
                    end++;
                plain.Append("['").Append(code, at + 1, end - at - 1).Append("']");
                at = end - 1;
            }
            else if (!char.IsWhiteSpace(code[at]))
            {
                plain.Append(code[at]);
            }
        }
        return plain.ToString();
    }

    private static string Unescape(string text) => text
        .Replace(@"\\", "\u0001", StringComparison.Ordinal)
        .Replace(@"\n", "\n", StringComparison.Ordinal)
        .Replace(@"\t", "\t", StringComparison.Ordinal)
        .Replace(@"\'", "'", StringComparison.Ordinal)
        .Replace("\\\"", "\"", StringComparison.Ordinal)
        .Replace("\u0001", @"\", StringComparison.Ordinal);
}
