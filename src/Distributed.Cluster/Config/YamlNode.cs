namespace Distributed.Cluster.Config;

/// <summary>A value in a YAML document, with the line on which it begins.</summary>
/// <param name="Line">The line, from 1.</param>
internal abstract record YamlNode(int Line)
{
    /// <summary>What to call it in an error: "a list", "text".</summary>
    public abstract string Kind { get; }
}

/// <summary>Text, a number or anything else that is one word of YAML.</summary>
/// <param name="Line">The line, from 1.</param>
/// <param name="Value">As written, without quotes.</param>
/// <param name="IsEmpty">Nothing, <c>~</c> or <c>null</c>, without quotes: a key with no value.</param>
internal sealed record YamlScalar(int Line, string Value, bool IsEmpty) : YamlNode(Line)
{
    public override string Kind => IsEmpty ? "nothing" : Value;
}

/// <summary>A list.</summary>
/// <param name="Line">The line, from 1.</param>
/// <param name="Items">Its values, in order.</param>
internal sealed record YamlList(int Line, IReadOnlyList<YamlNode> Items) : YamlNode(Line)
{
    public override string Kind => "a list";
}

/// <summary>Keys and values.</summary>
/// <param name="Line">The line, from 1.</param>
/// <param name="Entries">In the order of the file; a key may come twice.</param>
internal sealed record YamlMap(int Line, IReadOnlyList<YamlEntry> Entries) : YamlNode(Line)
{
    public override string Kind => "keys with values";
}

/// <summary>A key and its value.</summary>
/// <param name="Key">The key.</param>
/// <param name="Line">The key's line, from 1.</param>
/// <param name="Value">The value.</param>
internal readonly record struct YamlEntry(string Key, int Line, YamlNode Value);
