using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>Tables without lines or colours, so that they read the same on a screen and in a file.</summary>
internal static class Tables
{
    /// <summary>An empty table.</summary>
    /// <param name="heads">What stands over the columns; over figures, which are aligned to the right, it begins with <c>&gt;</c>.</param>
    public static Table Create(params string[] heads)
    {
        var table = new Table { Border = TableBorder.None };
        foreach (var head in heads)
            table.AddColumn(new TableColumn(new Text(head.TrimStart('>')))
            {
                Alignment = head.StartsWith('>') ? Justify.Right : Justify.Left,
                Padding = new Padding(0, 0, 2, 0),
            });
        return table;
    }

    /// <summary>An empty table of names and what belongs to them.</summary>
    public static Table Pairs() => Create("", "").HideHeaders();

    /// <summary>Adds a row; each cell is printed as it is, on one line.</summary>
    public static Table Line(this Table table, params string[] cells) => table.AddRow(cells.Select(cell => new Text(Printable.Line(cell))));

    /// <summary>Prints a table under a title.</summary>
    public static void Section(this IAnsiConsole console, string title, Table table)
    {
        console.WriteLine(title);
        console.Write(table);
        console.WriteLine();
    }
}
