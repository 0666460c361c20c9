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
/// Scale × (Σ weight × x + Shift × Σ x) + Offset × Σ x. The sums over the first and over the last 16 are multiplied by a whole number each.
/// </summary>
public readonly record struct Int8Block(
    Words4 First, Words4 Second, float Scale, int Shift, float Offset, int FirstFactor = 1, int SecondFactor = 1)
{
    /// <summary>The sum of their products with 32 signed bytes.</summary>
    public int Dot(Words4 first, Words4 second) => (Dot16(First, first) * FirstFactor) + (Dot16(Second, second) * SecondFactor);

    /// <summary>Adds the product with an input's 32 values to a sum.</summary>
    /// <param name="sum">The sum.</param>
    /// <param name="dot">What <see cref="Dot"/> gives.</param>
    /// <param name="inputSum">The sum of the input's bytes.</param>
    /// <param name="inputScale">The input's scale.</param>
    public float AddTo(float sum, int dot, int inputSum, float inputScale) => AddTo(sum, Scale, Offset, Shift, dot, inputSum, inputScale);

    /// <summary>The same from a block's factors; the order and rounding of its operations stand here alone.</summary>
    public static float AddTo(float sum, float scale, float offset, int shift, int dot, int inputSum, float inputScale) =>
        Fused.MultiplyAdd(inputScale, Fused.MultiplyAdd(offset, inputSum, scale * (dot + (shift * inputSum))), sum);

    private static int Dot16(Words4 a, Words4 b)
    {
        var dot = PackedDot.Add(a.X, b.X, 0);
        dot = PackedDot.Add(a.Y, b.Y, dot);
        dot = PackedDot.Add(a.Z, b.Z, dot);
        return PackedDot.Add(a.W, b.W, dot);
    }
}

/// <summary>
/// How a device reads weights that it multiplies as bytes: rows of a multiple of 256 values, whose parts can be loaded sixteen bytes at
/// a time. Implemented by structs without fields.
/// </summary>
public interface IInt8Format
{
    /// <summary>The two halves of 32 weights have factors of their own; their offset is 0 then.</summary>
    bool HasHalves { get; }

    /// <summary>32 weights.</summary>
    /// <param name="bytes">All weights of the tensor.</param>
    /// <param name="row">The row.</param>
    /// <param name="columns">Values per row.</param>
    /// <param name="block">Which 32.</param>
    Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block);

    /// <summary>One value, the same bits as the host's conversion gives.</summary>
    float Value(ArrayView<byte> bytes, long row, int columns, int i);
}

/// <summary><see cref="Core.Quantization.Q8_0"/> with the numbers of all blocks first and their scales behind (<see cref="BlockPlanes"/>).</summary>
public readonly struct Q8_0Planes : IInt8Format
{
    /// <inheritdoc/>
    public bool HasHalves => false;

    /// <inheritdoc/>
    public Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block)
    {
        var at = (row * (columns / 32)) + block;
        var words = Words.View(bytes);
        return new(words[2 * at], words[(2 * at) + 1], HalfBits.Load(bytes, (bytes.Length / 34 * 32) + (at * 2)), 0, 0);
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long row, int columns, int i)
    {
        var at = (row * (columns / 32)) + (i / 32);
        return HalfBits.Load(bytes, (bytes.Length / 34 * 32) + (at * 2)) * (sbyte)bytes[(at * 32) + (i & 31)];
    }
}

/// <summary><see cref="Core.Quantization.Q4_0"/> with the numbers of all blocks first and their scales behind (<see cref="BlockPlanes"/>).</summary>
public readonly struct Q4_0Planes : IInt8Format
{
    /// <inheritdoc/>
    public bool HasHalves => false;

    /// <inheritdoc/>
    public Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block)
    {
        var at = (row * (columns / 32)) + block;
        var packed = Words.View(bytes)[at];
        var scale = HalfBits.Load(bytes, (bytes.Length / 18 * 16) + (at * 2));
        return new(Words.LowNibbles(packed), Words.HighNibbles(packed), scale, -8, 0);
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long row, int columns, int i)
    {
        var at = (row * (columns / 32)) + (i / 32);
        var number = (bytes[(at * 16) + (i & 15)] >> ((i >> 4 & 1) << 2)) & 15;
        return HalfBits.Load(bytes, (bytes.Length / 18 * 16) + (at * 2)) * (number - 8);
    }
}

/// <summary><see cref="Core.Quantization.Q4_K"/> as it is: its blocks have nine times 16 bytes.</summary>
public readonly struct Q4_KBlocks : IInt8Format
{
    /// <inheritdoc/>
    public bool HasHalves => false;

    /// <inheritdoc/>
    public Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block)
    {
        var (at, group) = (((row * (columns / 256)) + (block / 8)) * 9, block & 7);
        var words = Words.View(bytes);
        var numbers = at + 1 + (group / 2 * 2);
        var (first, second) = (words[numbers], words[numbers + 1]);
        // Two scales and minimums of six bits lie across words; of the twelve bytes each group needs at most three.
        var factors = words[at].X;
        var scale = HalfBits.ToSingle((uint)factors & 0xFFFF) * DeviceSixBitScales.Scale(bytes, (at * 16) + 4, group);
        var min = HalfBits.ToSingle((uint)factors >> 16) * DeviceSixBitScales.Min(bytes, (at * 16) + 4, group);
        return (group & 1) == 0
            ? new(Words.LowNibbles(first), Words.LowNibbles(second), scale, 0, -min)
            : new(Words.HighNibbles(first), Words.HighNibbles(second), scale, 0, -min);
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long row, int columns, int i) =>
        default(Q4_KFormat).Value(bytes, default, ((row * (columns / 256)) + (i / 256)) * 144, i & 255);
}

/// <summary><see cref="Core.Quantization.Q5_K"/> as it is: its blocks have eleven times 16 bytes.</summary>
public readonly struct Q5_KBlocks : IInt8Format
{
    /// <inheritdoc/>
    public bool HasHalves => false;

    /// <inheritdoc/>
    public Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block)
    {
        var (at, group) = (((row * (columns / 256)) + (block / 8)) * 11, block & 7);
        var words = Words.View(bytes);
        var numbers = at + 3 + (group / 2 * 2);
        var shift = (group & 1) * 4;
        var (first, second) = (Words.Bits(words[numbers], shift, 0x0F0F0F0F), Words.Bits(words[numbers + 1], shift, 0x0F0F0F0F));
        var (high, highOn) = (Words.Bits(words[at + 1], group, 0x01010101), Words.Bits(words[at + 2], group, 0x01010101));
        var factors = words[at].X;
        var scale = HalfBits.ToSingle((uint)factors & 0xFFFF) * DeviceSixBitScales.Scale(bytes, (at * 16) + 4, group);
        var min = HalfBits.ToSingle((uint)factors >> 16) * DeviceSixBitScales.Min(bytes, (at * 16) + 4, group);
        return new(Words.With(first, high, 4), Words.With(second, highOn, 4), scale, 0, -min);
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long row, int columns, int i) =>
        default(Q5_KFormat).Value(bytes, default, ((row * (columns / 256)) + (i / 256)) * 176, i & 255);
}

/// <summary>
/// <see cref="Core.Quantization.Q6_K"/> in planes (<see cref="BlockPlanes"/>): the lower four bits of all blocks, the upper two, the
/// scales of 16 weights each, the scales of blocks.
/// </summary>
public readonly struct Q6_KPlanes : IInt8Format
{
    private const int Minus32 = 0x20202020;
    private const int Signs = unchecked((int)0x80808080);

    /// <inheritdoc/>
    public bool HasHalves => true;

    /// <inheritdoc/>
    public Int8Block Read(ArrayView<byte> bytes, long row, int columns, int block)
    {
        var (all, at, group) = (bytes.Length / 210, (row * (columns / 256)) + (block / 8), block & 7);
        var words = Words.View(bytes);
        var low = (at * 8) + (group / 4 * 4) + ((group & 1) * 2);
        var high = (all * 8) + (at * 4) + (group / 4 * 2);
        var (lowShift, highShift) = ((group & 2) * 2, (group & 3) * 2);
        var first = Words.With(Words.Bits(words[low], lowShift, 0x0F0F0F0F), Words.Bits(words[high], highShift, 0x03030303), 4);
        var second = Words.With(Words.Bits(words[low + 1], lowShift, 0x0F0F0F0F), Words.Bits(words[high + 1], highShift, 0x03030303), 4);
        int factors = bytes.Cast<short>()[(all * 96) + (at * 8) + group];
        return new(Signed(first), Signed(second), HalfBits.Load(bytes, (all * 208) + (at * 2)), 0, 0, (sbyte)factors, factors >> 8);
    }

    /// <inheritdoc/>
    public float Value(ArrayView<byte> bytes, long row, int columns, int i)
    {
        var (all, at) = (bytes.Length / 210, (row * (columns / 256)) + (i / 256));
        var (half, quarter, column) = ((i >> 7) & 1, (i >> 5) & 3, i & 31);
        var low = (bytes[(at * 128) + (half * 64) + ((quarter & 1) * 32) + column] >> (quarter >> 1 << 2)) & 15;
        var high = (bytes[(all * 128) + (at * 64) + (half * 32) + column] >> (quarter << 1)) & 3;
        var factor = (sbyte)bytes[(all * 192) + (at * 16) + ((i & 255) >> 4)];
        return HalfBits.Load(bytes, (all * 208) + (at * 2)) * factor * ((low | (high << 4)) - 32);
    }

    // Each byte less 32: its highest bit is set before, so that none borrows from the next.
    private static Words4 Signed(Words4 numbers) => new(Signed(numbers.X), Signed(numbers.Y), Signed(numbers.Z), Signed(numbers.W));

    private static int Signed(int numbers) => ((numbers | Signs) - Minus32) ^ Signs;
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
    public static Words4 HighNibbles(Words4 packed) => Bits(packed, 4, 0x0F0F0F0F);

    /// <summary>Some bits of each byte.</summary>
    /// <param name="packed">The bytes.</param>
    /// <param name="shift">The lowest of them; none may lie in the next byte.</param>
    /// <param name="mask">As many ones in each byte as there are bits.</param>
    public static Words4 Bits(Words4 packed, int shift, int mask) =>
        new((packed.X >> shift) & mask, (packed.Y >> shift) & mask, (packed.Z >> shift) & mask, (packed.W >> shift) & mask);

    /// <summary>Numbers with more bits above the ones they have.</summary>
    /// <param name="low">The lower bits.</param>
    /// <param name="high">The upper bits.</param>
    /// <param name="shift">How many lower bits there are.</param>
    public static Words4 With(Words4 low, Words4 high, int shift) => new(
        low.X | (high.X << shift), low.Y | (high.Y << shift), low.Z | (high.Z << shift), low.W | (high.W << shift));
}
