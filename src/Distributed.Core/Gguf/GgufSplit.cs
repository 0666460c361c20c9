using System.Globalization;
using System.Text.RegularExpressions;

namespace Distributed.Core.Gguf;

/// <summary>
/// Sets of GGUF files that hold one model: <c>NAME-00002-of-00003.gguf</c> has <c>split.no</c> 1 and <c>split.count</c> 3 in its
/// metadata; the first one has the model's metadata and, in <c>split.tensors.count</c>, the number of tensors of all.
/// </summary>
internal static partial class GgufSplit
{
    /// <summary>The most shards of a set: five digits.</summary>
    public const int MaxShards = 99_999;

    private const int MissingShown = 5;

    /// <summary>The name of one shard.</summary>
    /// <param name="prefix">The path up to the first dash.</param>
    /// <param name="index">From 0.</param>
    /// <param name="count">Shards of the set.</param>
    public static string ShardPath(string prefix, int index, int count) =>
        string.Create(CultureInfo.InvariantCulture, $"{prefix}-{index + 1:00000}-of-{count:00000}.gguf");

    /// <summary>Opens the other shards of the set that a list's only shard belongs to, and puts all in order.</summary>
    public static void OpenRest(List<GgufShard> shards)
    {
        var given = shards[0];
        var (index, count) = ReadPlace(given);
        if (count <= 1)
            return;
        var match = ShardName().Match(given.Path);
        if (!match.Success || given.Path != ShardPath(match.Groups[1].Value, index, count))
            throw new InvalidInputException(
                "model", given.Path, $"is shard {index + 1} of {count}: its name must end in {ShardPath("", index, count)}");

        var paths = Enumerable.Range(0, count).Select(i => ShardPath(match.Groups[1].Value, i, count)).ToArray();
        RequireAll(paths);
        for (var i = 0; i < count; i++)
        {
            if (i == index)
                continue;
            var shard = GgufShard.Open(paths[i]);
            shards.Insert(i, shard);
            if (ReadPlace(shard) != (i, count))
                throw new InvalidInputException(
                    "split.no, split.count", $"{ReadPlace(shard)}", $"must be ({i}, {count}) as the file's name says", paths[i]);
        }
    }

    /// <summary>Checks the number of tensors against what the first shard says.</summary>
    public static void CheckTensorCount(GgufMetadata metadata, int count)
    {
        if (metadata.TryGetInt32("split.tensors.count", out var expected) && expected != count)
            throw new InvalidInputException(
                "split.tensors.count", $"{expected}", $"must be the number of tensors in all shards, {count}", metadata.Source);
    }

    private static (int Index, int Count) ReadPlace(GgufShard shard)
    {
        var metadata = shard.Header.Metadata;
        if (!metadata.TryGetInt32("split.count", out var count) || count == 0)
            return (0, 1);
        if (count is < 0 or > MaxShards)
            throw new InvalidInputException("split.count", $"{count}", $"must lie between 1 and {MaxShards}", shard.Path);
        var index = metadata.GetInt32("split.no");
        return index >= 0 && index < count
            ? (index, count)
            : throw new InvalidInputException("split.no", $"{index}", $"must lie between 0 and {count - 1}", shard.Path);
    }

    private static void RequireAll(string[] paths)
    {
        var missing = paths.Where(path => !File.Exists(path)).ToArray();
        if (missing.Length == 0)
            return;
        var errors = missing.Take(MissingShown).Select(path => new InputError("model", path, "this shard of the set is missing")).ToList();
        if (missing.Length > MissingShown)
            errors.Add(new InputError("model", $"{missing.Length} of {paths.Length} shards", "are missing"));
        throw new InvalidInputException(errors);
    }

    [GeneratedRegex(@"^(.*)-\d{5}-of-\d{5}\.gguf$", RegexOptions.Singleline)]
    private static partial Regex ShardName();
}
