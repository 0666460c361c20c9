using System.Runtime.InteropServices;
using Google.Protobuf;

namespace Distributed.Cluster;

/// <summary>Hidden states and logits as they cross the wire: float32, little-endian, row by row.</summary>
public static class HiddenStateCodec
{
    /// <summary>Bytes of <paramref name="values"/> floats on the wire.</summary>
    public static int Bytes(int values) => checked(values * sizeof(float));

    /// <summary>The bytes of a buffer seen as floats, to be computed into. All .NET 10 targets with SIMD are little-endian.</summary>
    public static Span<float> AsFloats(Span<byte> bytes) => MemoryMarshal.Cast<byte, float>(bytes);

    /// <summary>A message field over the first bytes of a buffer, without a copy: the buffer must stay as it is until the message is sent.</summary>
    public static ByteString Wrap(byte[] buffer, int bytes) => UnsafeByteOperations.UnsafeWrap(buffer.AsMemory(0, bytes));

    /// <summary>The floats of a received field, in place.</summary>
    /// <param name="field">As received.</param>
    /// <param name="values">How many there must be.</param>
    /// <exception cref="FormatException">The field has another length.</exception>
    public static ReadOnlySpan<float> Read(ByteString field, int values)
    {
        if (field.Length != Bytes(values))
            throw new FormatException($"hidden state has {field.Length} bytes, but its {values} float32 values take {Bytes(values)}");
        return MemoryMarshal.Cast<byte, float>(field.Span);
    }
}
