using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Distributed.Testing;

/// <summary>A tensor for a safetensors file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DType">As the format writes it: <c>BF16</c>.</param>
/// <param name="Shape">A row's length last.</param>
/// <param name="Data">Its bytes.</param>
public sealed record SafetensorsData(string Name, string DType, long[] Shape, byte[] Data);

/// <summary>Writes safetensors files as the format's own library does: tensors by name, the header padded with blanks.</summary>
public static class SafetensorsWriter
{
    /// <summary>Writes <c>model.safetensors</c>, or that many shards and their index.</summary>
    public static void WriteFolder(string folder, IReadOnlyList<SafetensorsData> tensors, int shards = 1)
    {
        if (shards == 1)
        {
            File.WriteAllBytes(Path.Combine(folder, "model.safetensors"), ToBytes(tensors));
            return;
        }
        var map = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; i < shards; i++)
        {
            var name = $"model-{i + 1:d5}-of-{shards:d5}.safetensors";
            var part = tensors.Where((_, index) => index % shards == i).ToList();
            File.WriteAllBytes(Path.Combine(folder, name), ToBytes(part));
            part.ForEach(tensor => map.Add(tensor.Name, name));
        }
        var index = new { metadata = new { total_size = tensors.Sum(tensor => tensor.Data.Length) }, weight_map = map };
        File.WriteAllText(Path.Combine(folder, "model.safetensors.index.json"), JsonSerializer.Serialize(index));
    }

    /// <summary>The tensors of a file written here.</summary>
    public static List<SafetensorsData> ReadFile(string path)
    {
        var bytes = File.ReadAllBytes(path);
        var length = 8 + (int)BitConverter.ToInt64(bytes);
        var tensors = JsonNode.Parse(bytes.AsSpan(8, length - 8))!.AsObject().Where(entry => entry.Key != "__metadata__");
        return [.. tensors.Select(entry => new SafetensorsData(
            entry.Key,
            (string)entry.Value!["dtype"]!,
            [.. entry.Value["shape"]!.AsArray().Select(dimension => (long)dimension!)],
            bytes[(length + (int)entry.Value["data_offsets"]![0]!)..(length + (int)entry.Value["data_offsets"]![1]!)]))];
    }

    /// <summary>A whole file.</summary>
    public static byte[] ToBytes(IEnumerable<SafetensorsData> tensors)
    {
        var sorted = tensors.OrderBy(tensor => tensor.Name, StringComparer.Ordinal).ToList();
        var header = new Dictionary<string, object> { ["__metadata__"] = new { format = "pt" } };
        var offset = 0L;
        foreach (var tensor in sorted)
        {
            header[tensor.Name] = new { dtype = tensor.DType, shape = tensor.Shape, data_offsets = new[] { offset, offset + tensor.Data.Length } };
            offset += tensor.Data.Length;
        }
        return ToBytes(JsonSerializer.Serialize(header), [.. sorted.SelectMany(tensor => tensor.Data)]);
    }

    /// <summary>A file with a header that may be anything.</summary>
    public static byte[] ToBytes(string header, byte[] data)
    {
        var json = Encoding.UTF8.GetBytes(header.PadRight((header.Length + 7) / 8 * 8));
        return [.. BitConverter.GetBytes((long)json.Length), .. json, .. data];
    }
}
