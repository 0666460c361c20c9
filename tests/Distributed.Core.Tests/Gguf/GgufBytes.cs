using System.Text;
using Distributed.Core.Gguf;

namespace Distributed.Core.Tests.Gguf;

/// <summary>A GGUF file put together by hand, so that it can be wrong in any way.</summary>
internal sealed class GgufBytes
{
    private readonly List<byte> _bytes = [];

    /// <summary>A header: magic, version and the two counts.</summary>
    public static GgufBytes Header(ulong tensors = 0, ulong keys = 0, uint version = 3) =>
        new GgufBytes().Raw("GGUF"u8).U32(version).U64(tensors).U64(keys);

    public GgufBytes Raw(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public GgufBytes U32(uint value) => Raw(BitConverter.GetBytes(value));

    public GgufBytes U64(ulong value) => Raw(BitConverter.GetBytes(value));

    public GgufBytes Text(string text) => U64((ulong)Encoding.UTF8.GetByteCount(text)).Raw(Encoding.UTF8.GetBytes(text));

    /// <summary>A key and the type of its value, without the value.</summary>
    public GgufBytes Key(string key, GgufValueType type) => Text(key).U32((uint)type);

    /// <summary>A key of an array up to its count, without the elements.</summary>
    public GgufBytes Array(string key, GgufValueType elementType, ulong count) =>
        Key(key, GgufValueType.Array).U32((uint)elementType).U64(count);

    /// <summary>A whole description of a tensor.</summary>
    public GgufBytes Tensor(string name, ulong[] dimensions, uint type = 0, ulong offset = 0)
    {
        Text(name).U32((uint)dimensions.Length);
        foreach (var dimension in dimensions)
            U64(dimension);
        return U32(type).U64(offset);
    }

    /// <summary>Zeros up to a multiple of the alignment, then some bytes.</summary>
    public GgufBytes Data(int bytes, int alignment = 32) =>
        Raw(new byte[((_bytes.Count + alignment - 1) / alignment * alignment) - _bytes.Count + bytes]);

    public byte[] ToArray() => _bytes.ToArray();
}
