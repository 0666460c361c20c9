using System.Text.Json;
using Distributed.Core.HuggingFace;

namespace Distributed.Core.Safetensors;

/// <summary>
/// The weights of a folder: <c>model.safetensors</c>, or the shards that <c>model.safetensors.index.json</c> names, mapped.
/// </summary>
internal sealed class SafetensorsSet : IDisposable
{
    /// <summary>The file of weights that are in one.</summary>
    public const string SingleName = "model.safetensors";

    /// <summary>The file that says which shard has which tensor.</summary>
    public const string IndexName = "model.safetensors.index.json";

    private const int MaxShards = 4096;
    private const int MaxErrors = 20;

    private readonly OrderedDictionary<string, SafetensorsTensor> _tensors = [];

    private SafetensorsSet(IReadOnlyList<SafetensorsFile> files)
    {
        Files = files;
        foreach (var tensor in files.SelectMany(file => file.Tensors))
            if (!_tensors.TryAdd(tensor.Name, tensor))
                throw new InvalidInputException(tensor.Name, "there twice", "must be in one shard only", tensor.File.Path);
    }

    /// <summary>The files, in order.</summary>
    public IReadOnlyList<SafetensorsFile> Files { get; }

    /// <summary>The tensors by name, in the files' order.</summary>
    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors => _tensors;

    /// <summary>Maps the weights of a folder; null where it has none.</summary>
    /// <exception cref="InvalidInputException">A shard is missing or unreadable, or a file breaks a rule of the format.</exception>
    public static SafetensorsSet? Open(string folder)
    {
        var index = Path.Combine(folder, IndexName);
        var single = Path.Combine(folder, SingleName);
        if (File.Exists(single))
            return Open([single], null, index);
        if (!File.Exists(index))
            return null;
        var shards = ReadIndex(index);
        var names = shards.Values.Distinct().Order(StringComparer.Ordinal).ToList();
        var missing = names.Where(name => !File.Exists(Path.Combine(folder, name))).Take(MaxErrors).ToList();
        if (missing.Count > 0)
            throw new InvalidInputException(
                [.. missing.Select(name => new InputError(name, null, $"is missing; it is one of {names.Count} shards", index))]);
        return Open([.. names.Select(name => Path.Combine(folder, name))], shards, index);
    }

    /// <summary>Maps files of weights, in their order.</summary>
    /// <exception cref="InvalidInputException">One is missing or unreadable, or breaks a rule of the format.</exception>
    public static SafetensorsSet Open(IReadOnlyList<string> paths) => Open(paths, null, "");

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in Files)
            file.Dispose();
    }

    private static SafetensorsSet Open(IReadOnlyList<string> paths, IReadOnlyDictionary<string, string>? shards, string index)
    {
        var files = new List<SafetensorsFile>();
        try
        {
            foreach (var path in paths)
                files.Add(SafetensorsFile.Open(path));
            var set = new SafetensorsSet(files);
            var absent = shards?.Keys.Where(name => !set.Tensors.ContainsKey(name)).Take(MaxErrors).ToList() ?? [];
            return absent.Count == 0
                ? set
                : throw new InvalidInputException(
                    [.. absent.Select(name => new InputError(name, null, $"is not in {shards![name]}", index))]);
        }
        catch
        {
            foreach (var file in files)
                file.Dispose();
            throw;
        }
    }

    /// <summary>The shard of each tensor.</summary>
    private static Dictionary<string, string> ReadIndex(string path)
    {
        var shards = new Dictionary<string, string>();
        if (JsonFile.Read(path, out _).Find("weight_map") is not { ValueKind: JsonValueKind.Object } map)
            throw new InvalidInputException("weight_map", null, "is missing; it must be an object of tensor names and files", path);
        foreach (var entry in map.EnumerateObject())
        {
            shards[entry.Name] = entry.Value.ValueKind == JsonValueKind.String && IsFileName(entry.Value.GetString()!)
                ? entry.Value.GetString()!
                : throw new InvalidInputException(
                    $"weight_map.{entry.Name}", entry.Value.GetRawText(), "must be the name of a file in the folder", path);
        }

        var count = shards.Values.Distinct().Count();
        return count is >= 1 and <= MaxShards
            ? shards
            : throw new InvalidInputException("weight_map", $"{count} files", $"must name 1 to {MaxShards} files", path);
    }

    // A name, not a way out of the folder.
    private static bool IsFileName(string name) =>
        name is not ("" or "." or "..") && name == Path.GetFileName(name) && !name.Contains('\\') && !name.Any(char.IsControl);
}
