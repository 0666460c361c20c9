using System.Numerics;
using System.Runtime.InteropServices;
using Distributed.Cluster.Config;
using Google.Protobuf;

namespace Distributed.Cluster;

/// <summary>
/// Hidden states and logits as they cross the wire: little-endian, row by row, hidden states in the pipeline's
/// <see cref="WireType"/>, logits always as float32. A row is coded by itself, so the batch it travels in changes nothing.
/// </summary>
public static class HiddenStateCodec
{
    /// <summary>Bytes of <paramref name="values"/> floats on the wire.</summary>
    public static int Bytes(int values) => checked(values * sizeof(float));

    /// <summary>Bytes of hidden states on the wire.</summary>
    /// <param name="type">The format.</param>
    /// <param name="rows">Tokens.</param>
    /// <param name="columns">HiddenSize; one that goes with the format.</param>
    public static int Bytes(WireType type, int rows, int columns) => checked((int)(rows * type.Format().RowBytes(columns)));

    /// <summary>The bytes of a buffer seen as floats, to be computed into. All .NET 10 targets with SIMD are little-endian.</summary>
    public static Span<float> AsFloats(Span<byte> bytes) => MemoryMarshal.Cast<byte, float>(bytes);

    /// <summary>Received float32 values, in place.</summary>
    public static ReadOnlySpan<float> AsReceivedFloats(ReadOnlySpan<byte> bytes) => MemoryMarshal.Cast<byte, float>(bytes);

    /// <summary>Whether all values are numbers: neither NaN nor infinite.</summary>
    public static bool AreFinite(ReadOnlySpan<float> values)
    {
        // Zero times a number is zero; times anything else it is NaN, which stays in a sum.
        var sum = Vector<float>.Zero;
        while (values.Length >= Vector<float>.Count)
        {
            sum += new Vector<float>(values) * Vector<float>.Zero;
            values = values[Vector<float>.Count..];
        }

        var rest = Vector.Sum(sum);
        foreach (var value in values)
            rest += value * 0;
        return !float.IsNaN(rest);
    }

    /// <summary>Codes whole rows.</summary>
    /// <param name="type">The format.</param>
    /// <param name="values">[rows, HiddenSize].</param>
    /// <param name="wire">Room for their bytes.</param>
    public static void Encode(WireType type, ReadOnlySpan<float> values, Span<byte> wire) => type.Format().Quantize!(values, wire);

    /// <summary>Reads whole rows.</summary>
    /// <param name="type">The format.</param>
    /// <param name="wire">As received; of the right length.</param>
    /// <param name="values">[rows, HiddenSize], filled.</param>
    public static void Decode(WireType type, ReadOnlySpan<byte> wire, Span<float> values) => type.Format().Dequantize(wire, values);

    /// <summary>A message field over the first bytes of a buffer, without a copy: the buffer must stay as it is until the message is sent.</summary>
    public static ByteString Wrap(byte[] buffer, int bytes) => UnsafeByteOperations.UnsafeWrap(buffer.AsMemory(0, bytes));
}
