using System.Runtime.InteropServices;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Runtime;

namespace Distributed.Gpu.Formats;

/// <summary>Sixteen bytes that are loaded at once.</summary>
[StructLayout(LayoutKind.Sequential, Size = 16)]
public readonly record struct Words4(int X, int Y, int Z, int W);

/// <summary>
/// 32 weights as signed bytes, four in a word, and what their product with bytes x becomes:
/// Scale × (Σ weight × x + Shift × Σ x) + Offset × Σ x.
/// </summary>
public readonly record struct Int8Block(Words4 First, Words4 Second, float Scale, int Shift, float Offset)
{
    /// <summary>The sum of their products with 32 signed bytes.</summary>
    public int Dot(Words4 first, Words4 second)
    {
        var dot = PackedDot.Add(First.X, first.X, 0);
        dot = PackedDot.Add(First.Y, first.Y, dot);
        dot = PackedDot.Add(First.Z, first.Z, dot);
        dot = PackedDot.Add(First.W, first.W, dot);
        dot = PackedDot.Add(Second.X, second.X, dot);
        dot = PackedDot.Add(Second.Y, second.Y, dot);
        dot = PackedDot.Add(Second.Z, second.Z, dot);
        return PackedDot.Add(Second.W, second.W, dot);
    }

    /// <summary>Adds the product with an input's 32 values to a sum.</summary>
    /// <param name="sum">The sum.</param>
    /// <param name="dot">What <see cref="Dot"/> gives.</param>
    /// <param name="inputSum">The sum of the input's bytes.</param>
    /// <param name="inputScale">The input's scale.</param>
    public float AddTo(float sum, int dot, int inputSum, float inputScale) => AddTo(sum, Scale, Offset, Shift, dot, inputSum, inputScale);

    /// <summary>The same from a block's factors; the order and rounding of its operations stand here alone.</summary>
    public static float AddTo(float sum, float scale, float offset, int shift, int dot, int inputSum, float inputScale) =>
        Fused.MultiplyAdd(inputScale, Fused.MultiplyAdd(offset, inputSum, scale * (dot + (shift * inputSum))), sum);
}

/// <summary>
/// How a device reads weights that it multiplies as bytes: rows of a multiple of 256 values whose parts lie at multiples of 16 bytes.
/// Implemented by structs without fields.
/// </summary>
public interface IInt8Format
{
    /// <summary>Bytes of a row.</summary>
    long RowBytes(int columns);

    /// <summary>32 weights.</summary>
    /// <param name="bytes">All weights.</param>
    /// <param name="row">The first byte of the row.</param>
    /// <param name="columns">Values per row.</param>
    /// <param name="block">Which 32.</param>
    Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block);

    /// <summary>One value, the same bits as the host's conversion gives.</summary>
    float Value(ArrayView<byte> bytes, long row, int columns, int i);
}

/// <summary><see cref="Core.Quantization.Q8_0"/> with the bytes of a row first and its scales behind (<see cref="RowPlanes"/>).</summary>
public readonly struct Q8_0Planes : IInt8Format
{
    /// <inheritdoc/>
    public long RowBytes(int columns) => columns / 32 * 34;

    /// <inheritdoc/>
    public Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block)
    {
        var at = (row >> 4) + (block * 2);
        var words = Words.View(bytes);
        return new(words[at], words[at + 1], HalfBits.Load(bytes, row + columns + (block * 2)), 0, 0);
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long row, int columns, int i) =>
        HalfBits.Load(bytes, row + columns + (i / 32 * 2)) * (sbyte)bytes[row + i];
}

/// <summary><see cref="Core.Quantization.Q4_0"/> with the numbers of a row first and its scales behind (<see cref="RowPlanes"/>).</summary>
public readonly struct Q4_0Planes : IInt8Format
{
    /// <inheritdoc/>
    public long RowBytes(int columns) => columns / 32 * 18;

    /// <inheritdoc/>
    public Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block)
    {
        var packed = Words.View(bytes)[(row >> 4) + block];
        var scale = HalfBits.Load(bytes, row + (columns / 2) + (block * 2));
        return new(Words.LowNibbles(packed), Words.HighNibbles(packed), scale, -8, 0);
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long row, int columns, int i)
    {
        var number = (bytes[row + (i / 32 * 16) + (i & 15)] >> ((i >> 4 & 1) << 2)) & 15;
        return HalfBits.Load(bytes, row + (columns / 2) + (i / 32 * 2)) * (number - 8);
    }
}

/// <summary><see cref="Core.Quantization.Q4_K"/> as it is: its blocks have nine times 16 bytes.</summary>
public readonly struct Q4_KBlocks : IInt8Format
{
    /// <inheritdoc/>
    public long RowBytes(int columns) => columns / 256 * 144;

    /// <inheritdoc/>
    public Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block)
    {
        var (start, group) = (row + (block / 8 * 144), block & 7);
        var words = Words.View(bytes);
        var at = (start >> 4) + 1 + (group / 2 * 2);
        var (first, second) = (words[at], words[at + 1]);
        var factors = words[start >> 4];
        // Two scales and minimums of six bits lie across words; of the twelve bytes each group needs at most three.
        var scale = HalfBits.ToSingle((uint)factors.X & 0xFFFF) * DeviceSixBitScales.Scale(bytes, start + 4, group);
        var min = HalfBits.ToSingle((uint)factors.X >> 16) * DeviceSixBitScales.Min(bytes, start + 4, group);
        return (group & 1) == 0
            ? new(Words.LowNibbles(first), Words.LowNibbles(second), scale, 0, -min)
            : new(Words.HighNibbles(first), Words.HighNibbles(second), scale, 0, -min);
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long row, int columns, int i) =>
        default(Q4_KFormat).Value(bytes, default, row + (i / 256 * 144), i & 255);
}

/// <summary>Sixteen bytes at a time.</summary>
internal static class Words
{
    /// <summary>Bytes as sixteens of them; what they begin with lies at a multiple of 16, as all memory that is handed out does.</summary>
    public static ArrayView<Words4> View(ArrayView<byte> bytes) => bytes.Cast<Words4>().AsAligned(16);

    /// <summary>The lower halves of bytes.</summary>
    public static Words4 LowNibbles(Words4 packed) =>
        new(packed.X & 0x0F0F0F0F, packed.Y & 0x0F0F0F0F, packed.Z & 0x0F0F0F0F, packed.W & 0x0F0F0F0F);

    /// <summary>The upper halves of bytes.</summary>
    public static Words4 HighNibbles(Words4 packed) => new(
        (packed.X >> 4) & 0x0F0F0F0F, (packed.Y >> 4) & 0x0F0F0F0F, (packed.Z >> 4) & 0x0F0F0F0F, (packed.W >> 4) & 0x0F0F0F0F);
}
