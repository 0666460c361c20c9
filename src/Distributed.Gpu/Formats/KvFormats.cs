using Distributed.Core;
using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu.Formats;

/// <summary>
/// How a device keeps what one head has in a block of the KV cache: values token after token; keys transposed, [headDim][tokens], so
/// that the threads of a warp, a key each, read what lies side by side. Implemented by structs without fields.
/// </summary>
public interface IKvFormat
{
    /// <summary>Values of a token that are written together.</summary>
    int RunLength { get; }

    /// <summary>One value of a token's key.</summary>
    /// <param name="bytes">The cache.</param>
    /// <param name="block">The first byte of the head's keys in the block.</param>
    /// <param name="token">The token's place in the block.</param>
    /// <param name="i">Below the head's size.</param>
    float Key(ArrayView<byte> bytes, long block, int token, int i);

    /// <summary>One value of a token's value.</summary>
    /// <param name="bytes">The cache.</param>
    /// <param name="block">The first byte of the head's values in the block.</param>
    /// <param name="headDim">Values of a head.</param>
    /// <param name="token">The token's place in the block.</param>
    /// <param name="i">Below the head's size.</param>
    float Value(ArrayView<byte> bytes, long block, int headDim, int token, int i);

    /// <summary>Writes a run of a token's key, from value <paramref name="i"/> on.</summary>
    void WriteKey(ArrayView<byte> bytes, long block, int token, int i, ArrayView<float> source, long at);

    /// <summary>Writes a run of a token's value, from value <paramref name="i"/> on.</summary>
    void WriteValue(ArrayView<byte> bytes, long block, int headDim, int token, int i, ArrayView<float> source, long at);
}

/// <summary>Keys and values as float32.</summary>
public readonly struct KvF32 : IKvFormat
{
    /// <inheritdoc/>
    public int RunLength => 1;

    /// <inheritdoc/>
    public float Key(ArrayView<byte> bytes, long block, int token, int i) =>
        bytes.Cast<float>()[(block >> 2) + (i * StageSpec.KvBlockTokens) + token];

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long block, int headDim, int token, int i) =>
        bytes.Cast<float>()[(block >> 2) + (token * headDim) + i];

    /// <inheritdoc/>
    public void WriteKey(ArrayView<byte> bytes, long block, int token, int i, ArrayView<float> source, long at) =>
        bytes.Cast<float>()[(block >> 2) + (i * StageSpec.KvBlockTokens) + token] = source[at];

    /// <inheritdoc/>
    public void WriteValue(ArrayView<byte> bytes, long block, int headDim, int token, int i, ArrayView<float> source, long at) =>
        bytes.Cast<float>()[(block >> 2) + (token * headDim) + i] = source[at];
}

/// <summary>Keys and values as half precision.</summary>
public readonly struct KvF16 : IKvFormat
{
    /// <inheritdoc/>
    public int RunLength => 1;

    /// <inheritdoc/>
    public float Key(ArrayView<byte> bytes, long block, int token, int i) =>
        HalfBits.Load(bytes, block + (((i * StageSpec.KvBlockTokens) + token) * sizeof(ushort)));

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long block, int headDim, int token, int i) =>
        HalfBits.Load(bytes, block + (((token * headDim) + i) * sizeof(ushort)));

    /// <inheritdoc/>
    public void WriteKey(ArrayView<byte> bytes, long block, int token, int i, ArrayView<float> source, long at) =>
        bytes.Cast<ushort>()[(block >> 1) + (i * StageSpec.KvBlockTokens) + token] = HalfBits.FromSingle(source[at]);

    /// <inheritdoc/>
    public void WriteValue(ArrayView<byte> bytes, long block, int headDim, int token, int i, ArrayView<float> source, long at) =>
        bytes.Cast<ushort>()[(block >> 1) + (token * headDim) + i] = HalfBits.FromSingle(source[at]);
}

/// <summary>
/// Runs of 32 bytes with a half-precision scale. Of values a run is the scale, then the bytes; of keys [32][tokens] bytes, then a scale
/// for each token.
/// </summary>
public readonly struct KvQ8_0 : IKvFormat
{
    private const int Run = 32;
    private const int ValueRunBytes = Run + sizeof(ushort);
    private const int KeyRunBytes = ValueRunBytes * StageSpec.KvBlockTokens;

    /// <inheritdoc/>
    public int RunLength => Run;

    /// <inheritdoc/>
    public float Key(ArrayView<byte> bytes, long block, int token, int i)
    {
        block += i / Run * KeyRunBytes;
        var scale = HalfBits.Load(bytes, block + (Run * StageSpec.KvBlockTokens) + (token * sizeof(ushort)));
        return scale * (sbyte)bytes[block + (i % Run * StageSpec.KvBlockTokens) + token];
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long block, int headDim, int token, int i)
    {
        block += ((token * headDim) + i) / Run * ValueRunBytes;
        return HalfBits.Load(bytes, block) * (sbyte)bytes[block + sizeof(ushort) + (i % Run)];
    }

    /// <inheritdoc/>
    public void WriteKey(ArrayView<byte> bytes, long block, int token, int i, ArrayView<float> source, long at)
    {
        block += i / Run * KeyRunBytes;
        var largest = Largest(source, at);
        bytes.Cast<ushort>()[(block + (Run * StageSpec.KvBlockTokens)) / 2 + token] = HalfBits.FromSingle(largest / 127);
        var inverse = largest < 1e-30f ? 0 : 127 / largest;
        for (var j = 0; j < Run; j++)
            bytes[block + (j * StageSpec.KvBlockTokens) + token] = (byte)DeviceMath.Round(source[at + j] * inverse);
    }

    /// <inheritdoc/>
    public void WriteValue(ArrayView<byte> bytes, long block, int headDim, int token, int i, ArrayView<float> source, long at)
    {
        block += ((token * headDim) + i) / Run * ValueRunBytes;
        var largest = Largest(source, at);
        bytes.Cast<ushort>()[block / 2] = HalfBits.FromSingle(largest / 127);
        var inverse = largest < 1e-30f ? 0 : 127 / largest;
        for (var j = 0; j < Run; j++)
            bytes[block + sizeof(ushort) + j] = (byte)DeviceMath.Round(source[at + j] * inverse);
    }

    private static float Largest(ArrayView<float> source, long at)
    {
        var largest = 0f;
        for (var j = 0; j < Run; j++)
            largest = Math.Max(largest, Math.Abs(source[at + j]));
        return largest;
    }
}
