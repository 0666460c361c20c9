using System.Text;
using Distributed.Core.Quantization;

namespace Distributed.Core.Gguf;

/// <summary>
/// Writes a GGUF file of version 3: metadata and tensors in the order they were added. Tensors are written one after the other
/// from whatever makes their bytes, so a model need not fit in memory.
/// </summary>
public sealed class GgufWriter
{
    private const string AlignmentKey = "general.alignment";

    private readonly OrderedDictionary<string, object> _metadata = [];
    private readonly OrderedDictionary<string, Entry> _tensors = [];

    private long Alignment => _metadata.TryGetValue(AlignmentKey, out var value) ? (uint)value : 32;

    /// <summary>Sets a metadata value; one set before keeps its place.</summary>
    /// <param name="key">The whole key.</param>
    /// <param name="value">A number, bool or string of .NET, or an array of one of these; its type is the one in the file.</param>
    /// <exception cref="ArgumentException">
    /// The format has no such type, or <c>general.alignment</c> is not a uint that is a power of two, 8 or more.
    /// </exception>
    public void Set(string key, object value)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        _ = TypeOf((value as Array)?.GetType().GetElementType() ?? value.GetType());
        if (key == AlignmentKey && !(value is uint alignment and >= 8 && uint.IsPow2(alignment)))
            throw new ArgumentException($"{key} must be a uint, a power of two, 8 or more", nameof(value));
        _metadata[key] = value;
    }

    /// <summary>Sets every value of another file, byte for byte; that file must stay open until this one is written.</summary>
    public void SetAll(GgufMetadata metadata)
    {
        foreach (var key in metadata.Keys)
            _metadata[key] = key == AlignmentKey ? metadata.GetUInt32(key) : metadata.Raw(key);
    }

    /// <summary>Takes a metadata value out again, where it is set.</summary>
    public void Remove(string key) => _metadata.Remove(key);

    /// <summary>Adds a tensor as it is in another file, which must stay open until this one is written.</summary>
    public void Add(Tensor tensor) =>
        Add(tensor.Name, tensor.Type, tensor.Dimensions, stream =>
        {
            for (var row = 0L; row < tensor.Rows; row++)
                stream.Write(tensor.Row(row));
        });

    /// <summary>Adds a tensor.</summary>
    /// <param name="name">The name; at most 64 bytes.</param>
    /// <param name="type">The format of its values.</param>
    /// <param name="dimensions">One to four, a row's length first, which is a multiple of the type's block.</param>
    /// <param name="write">Writes all its bytes when the file is written.</param>
    /// <exception cref="ArgumentException">A rule above is broken, or there is a tensor of that name.</exception>
    public void Add(string name, QuantType type, IReadOnlyList<long> dimensions, Action<Stream> write)
    {
        if (Encoding.UTF8.GetByteCount(name) is 0 or > GgufHeader.MaxTensorNameBytes)
            throw new ArgumentException($"a name has 1 to {GgufHeader.MaxTensorNameBytes} bytes", nameof(name));
        if (dimensions.Count is 0 or > GgufTensorInfo.MaxDimensions || dimensions.Any(d => d < 1) || dimensions[0] % type.BlockLength != 0)
            throw new ArgumentException($"[{string.Join(", ", dimensions)}] is no shape of {type}", nameof(dimensions));
        var bytes = dimensions.Skip(1).Aggregate(type.RowBytes(dimensions[0]), (product, dimension) => checked(product * dimension));
        if (!_tensors.TryAdd(name, new Entry(type, dimensions, bytes, write)))
            throw new ArgumentException($"there are two tensors {name}", nameof(name));
    }

    /// <summary>Writes the file, under another name until it is complete; one that exists is replaced.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Write(string path)
    {
        var partial = $"{path}.partial";
        try
        {
            using (var stream = new FileStream(partial, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
                Write(stream);
            File.Move(partial, path, overwrite: true);
        }
        finally
        {
            File.Delete(partial);
        }
    }

    /// <summary>Writes the file to a stream that knows its position.</summary>
    /// <exception cref="InvalidOperationException">A tensor was written with more or fewer bytes than its shape has.</exception>
    public void Write(Stream stream)
    {
        var start = stream.Position;
        using var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true);
        writer.Write("GGUF"u8);
        writer.Write(3u);
        writer.Write((ulong)_tensors.Count);
        writer.Write((ulong)_metadata.Count);
        foreach (var (key, value) in _metadata)
        {
            WriteString(writer, key);
            WriteTyped(writer, value);
        }

        var offset = 0L;
        foreach (var (name, tensor) in _tensors)
        {
            WriteString(writer, name);
            writer.Write((uint)tensor.Dimensions.Count);
            foreach (var dimension in tensor.Dimensions)
                writer.Write(dimension);
            writer.Write((uint)tensor.Type.GgmlId);
            writer.Write(offset);
            offset = Align(offset + tensor.Bytes);
        }

        writer.Flush();
        foreach (var (name, tensor) in _tensors)
        {
            stream.Write(new byte[Align(stream.Position - start) - (stream.Position - start)]);
            var begin = stream.Position;
            tensor.Write(stream);
            if (stream.Position - begin != tensor.Bytes)
                throw new InvalidOperationException($"{name} has {tensor.Bytes} bytes, but {stream.Position - begin} were written");
        }
    }

    private long Align(long offset) => (offset + Alignment - 1) / Alignment * Alignment;

    private static void WriteTyped(BinaryWriter writer, object value)
    {
        if (value is GgufValue raw)
        {
            if (raw.Count is not null)
                writer.Write((uint)GgufValueType.Array);
            writer.Write((uint)raw.Type);
            if (raw.Count is { } count)
                writer.Write((ulong)count);
            writer.Write(raw.Bytes);
            return;
        }

        if (value is not Array array)
        {
            writer.Write((uint)TypeOf(value.GetType()));
            WriteValue(writer, value);
            return;
        }

        writer.Write((uint)GgufValueType.Array);
        writer.Write((uint)TypeOf(array.GetType().GetElementType()!));
        writer.Write((ulong)array.Length);
        foreach (var element in array)
            WriteValue(writer, element);
    }

    private static void WriteValue(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case byte v: writer.Write(v); break;
            case sbyte v: writer.Write(v); break;
            case ushort v: writer.Write(v); break;
            case short v: writer.Write(v); break;
            case uint v: writer.Write(v); break;
            case int v: writer.Write(v); break;
            case ulong v: writer.Write(v); break;
            case long v: writer.Write(v); break;
            case float v: writer.Write(v); break;
            case double v: writer.Write(v); break;
            case bool v: writer.Write(v); break;
            default: WriteString(writer, (string)value); break;
        }
    }

    private static void WriteString(BinaryWriter writer, string text)
    {
        var utf8 = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)utf8.Length);
        writer.Write(utf8);
    }

    private static GgufValueType TypeOf(Type type) =>
        type == typeof(byte) ? GgufValueType.UInt8
        : type == typeof(sbyte) ? GgufValueType.Int8
        : type == typeof(ushort) ? GgufValueType.UInt16
        : type == typeof(short) ? GgufValueType.Int16
        : type == typeof(uint) ? GgufValueType.UInt32
        : type == typeof(int) ? GgufValueType.Int32
        : type == typeof(ulong) ? GgufValueType.UInt64
        : type == typeof(long) ? GgufValueType.Int64
        : type == typeof(float) ? GgufValueType.Float32
        : type == typeof(double) ? GgufValueType.Float64
        : type == typeof(bool) ? GgufValueType.Bool
        : type == typeof(string) ? GgufValueType.String
        : throw new ArgumentException($"GGUF has no type for {type}", nameof(type));

    private sealed record Entry(QuantType Type, IReadOnlyList<long> Dimensions, long Bytes, Action<Stream> Write);
}
