using System.Globalization;

namespace Distributed.Cli.Lab;

/// <summary>
/// A table in a file as RFC 4180 has it: a line of heads, then a line per row, each of which is in the file once it is added.
/// Numbers are written with all their digits, and nothing at all for what is not known.
/// </summary>
internal sealed class LabCsv : IDisposable
{
    private readonly StreamWriter _writer;
    private readonly int _columns;

    /// <summary>Begins the file.</summary>
    public LabCsv(string path, params ReadOnlySpan<string> heads)
    {
        _writer = new StreamWriter(path) { NewLine = "\n", AutoFlush = true };
        _columns = heads.Length;
        _writer.WriteLine(string.Join(',', heads));
    }

    /// <summary>Adds a row: texts, whole numbers, doubles, and null for what is not known; one for each head.</summary>
    public void Add(params ReadOnlySpan<object?> values)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(values.Length, _columns);
        var cells = new string[_columns];
        for (var i = 0; i < _columns; i++)
            cells[i] = Quote(Convert.ToString(values[i], CultureInfo.InvariantCulture) ?? "");
        _writer.WriteLine(string.Join(',', cells));
    }

    /// <inheritdoc/>
    public void Dispose() => _writer.Dispose();

    private static string Quote(string cell) =>
        cell.AsSpan().ContainsAny(',', '"', '\n') ? $"\"{cell.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : cell;
}
