using System.Buffers;
using System.Text;
using Distributed.Core;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Distributed.Cluster.Config;

/// <summary>
/// Reads one YAML document into <see cref="YamlNode"/>s, straight from the parser's events: so every value keeps its line, and
/// a hostile file is stopped by its depth or number of values before anything grows. Anchors, aliases and tags are refused,
/// since a cluster file needs none and they make a few bytes mean gigabytes.
/// </summary>
internal sealed class YamlReader
{
    private const int MaxDepth = 16;
    private const int MaxNodes = 20_000;

    private static readonly SearchValues<char> ForbiddenCharacters = SearchValues.Create(
        [.. Enumerable.Range(0, 0xA0).Select(code => (char)code).Where(char.IsControl).Except(['\t', '\n', '\r', '\u0085'])]);

    private readonly string _source;
    private readonly Parser _parser;
    private int _nodes;

    private YamlReader(string source, string text)
    {
        _source = source;
        _parser = new Parser(new StringReader(text));
    }

    /// <summary>Reads a file.</summary>
    /// <exception cref="InvalidInputException">It cannot be read, is too large, or is not one document of plain YAML.</exception>
    public static YamlNode ReadFile(string path)
    {
        var bytes = new byte[ClusterFile.MaxBytes + 1];
        int length;
        try
        {
            using var file = File.OpenRead(path);
            length = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InvalidInputException("cluster", path, "does not exist");
        }
        catch (Exception exception)
            when (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new InvalidInputException("cluster", path, $"cannot be read: {exception.Message}");
        }

        if (length > ClusterFile.MaxBytes)
            throw new InvalidInputException("cluster", path, $"must be at most {ByteSize.Format(ClusterFile.MaxBytes)}");
        try
        {
            var text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes, 0, length);
            return Read(text.TrimStart('\uFEFF'), path);
        }
        catch (DecoderFallbackException)
        {
            throw new InvalidInputException("cluster", path, "must be UTF-8 text");
        }
    }

    /// <summary>Reads a document.</summary>
    /// <param name="text">The document.</param>
    /// <param name="source">What errors call it.</param>
    /// <exception cref="InvalidInputException">It is not one document of plain YAML.</exception>
    public static YamlNode Read(string text, string source)
    {
        // The parser takes a zero for the end of the file, and what stands behind it would be lost.
        if (text.AsSpan().IndexOfAny(ForbiddenCharacters) is >= 0 and var found)
        {
            var line = text.AsSpan(0, found).Count('\n') + 1;
            var rule = $"holds the control character {(int)text[found]}";
            throw new InvalidInputException([new InputError("yaml", null, rule, source, line)]);
        }

        var reader = new YamlReader(source, text);
        try
        {
            return reader.ReadDocument();
        }
        catch (YamlException exception)
        {
            throw reader.Error("yaml", null, $"is not valid YAML: {exception.Message}", exception.Start);
        }
        catch (Exception exception) when (exception is not InvalidInputException)
        {
            // On some broken input the parser trips over itself, with whatever exception that gives.
            var at = reader._parser.Current?.End ?? Mark.Empty;
            throw reader.Error("yaml", null, "is not valid YAML, here or in the lines that follow", at);
        }
    }

    private YamlNode ReadDocument()
    {
        _parser.Consume<StreamStart>();
        if (_parser.Accept<StreamEnd>(out _))
            return new YamlScalar(1, "", true);
        _parser.Consume<DocumentStart>();
        var root = ReadNode(1);
        _parser.Consume<DocumentEnd>();
        if (_parser.Accept<DocumentStart>(out var second))
            throw Error("---", null, "a file holds one document, and here a second one begins", second.Start);
        return root;
    }

    private YamlNode ReadNode(int depth)
    {
        if (!_parser.Accept<NodeEvent>(out var node))
        {
            var alias = _parser.Consume<AnchorAlias>();
            throw Error($"*{alias.Value}", null, "aliases are not read: write the value out", alias.Start);
        }

        if (++_nodes > MaxNodes)
            throw Error("yaml", null, $"holds more than {MaxNodes} values", node.Start);
        if (depth > MaxDepth)
            throw Error("yaml", null, $"is nested deeper than {MaxDepth} levels", node.Start);
        if (!node.Anchor.IsEmpty)
            throw Error($"&{node.Anchor.Value}", null, "anchors are not read: write the value where it is used", node.Start);
        if (!node.Tag.IsEmpty && !node.Tag.IsNonSpecific)
            throw Error(node.Tag.Value, null, "tags are not read", node.Start);

        var line = Line(node.Start);
        switch (node)
        {
            case SequenceStart:
                return new YamlList(line, ReadList(depth));
            case MappingStart:
                return new YamlMap(line, ReadMap(depth));
            default:
                var scalar = _parser.Consume<Scalar>();
                return new YamlScalar(line, scalar.Value, scalar.IsPlainImplicit && scalar.Value is "" or "~" or "null");
        }
    }

    private List<YamlNode> ReadList(int depth)
    {
        _parser.Consume<SequenceStart>();
        List<YamlNode> items = [];
        while (!_parser.TryConsume<SequenceEnd>(out _))
            items.Add(ReadNode(depth + 1));
        return items;
    }

    private List<YamlEntry> ReadMap(int depth)
    {
        _parser.Consume<MappingStart>();
        List<YamlEntry> entries = [];
        while (!_parser.TryConsume<MappingEnd>(out _))
        {
            var key = ReadNode(depth + 1);
            if (key is not YamlScalar { Value: var name })
                throw new InvalidInputException([new InputError("yaml", key.Kind, "a key must be plain text", _source, key.Line)]);
            entries.Add(new YamlEntry(name, key.Line, ReadNode(depth + 1)));
        }

        return entries;
    }

    private InvalidInputException Error(string key, string? value, string rule, Mark at) =>
        new([new InputError(key, value, rule, _source, Line(at))]);

    private static int Line(Mark mark) => (int)mark.Line;
}
