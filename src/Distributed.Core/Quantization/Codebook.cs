using System.Buffers.Binary;
using System.Numerics;

namespace Distributed.Core.Quantization;

/// <summary>The vectors of a few values each that the indices in a block stand for.</summary>
internal sealed class Codebook
{
    private readonly int _dimensions;
    private readonly sbyte[] _values;

    /// <param name="dimensions">Values per vector.</param>
    /// <param name="levels">What a value can be.</param>
    /// <param name="data">
    /// Two bytes per vector, in base 64: the number of each value's level, the first value in the lowest bits, two bits each for up to
    /// four levels, three for eight.
    /// </param>
    private Codebook(int dimensions, ReadOnlySpan<sbyte> levels, string data)
    {
        var bits = levels.Length > 4 ? 3 : 2;
        var packed = Convert.FromBase64String(data);
        _dimensions = dimensions;
        _values = new sbyte[packed.Length / sizeof(ushort) * dimensions];
        for (var i = 0; i < _values.Length; i++)
        {
            var vector = BinaryPrimitives.ReadUInt16LittleEndian(packed.AsSpan(i / dimensions * sizeof(ushort)));
            _values[i] = levels[(vector >> (i % dimensions * bits)) & ((1 << bits) - 1)];
        }
    }

    /// <summary>256 vectors of 8.</summary>
    public static Codebook IQ2_XXS { get; } = new(8, [8, 25, 43], CodebookData.IQ2_XXS);

    /// <summary>512 vectors of 8.</summary>
    public static Codebook IQ2_XS { get; } = new(8, [8, 25, 43], CodebookData.IQ2_XS);

    /// <summary>1024 vectors of 8.</summary>
    public static Codebook IQ2_S { get; } = new(8, [8, 25, 43], CodebookData.IQ2_S);

    /// <summary>256 vectors of 4.</summary>
    public static Codebook IQ3_XXS { get; } = new(4, [4, 12, 20, 28, 36, 44, 52, 62], CodebookData.IQ3_XXS);

    /// <summary>512 vectors of 4.</summary>
    public static Codebook IQ3_S { get; } = new(4, [1, 3, 5, 7, 9, 11, 13, 15], CodebookData.IQ3_S);

    /// <summary>2048 vectors of 8.</summary>
    public static Codebook IQ1 { get; } = new(8, [-1, 0, 1], CodebookData.IQ1);

    /// <summary>All vectors, one after the other.</summary>
    public ReadOnlySpan<sbyte> Values => _values;

    /// <summary>Eight signs from seven bits: the last makes the number of minus signs even.</summary>
    public static int EvenSigns(int bits) => bits | ((BitOperations.PopCount((uint)bits) & 1) << 7);

    /// <summary>Writes scale × (value + shift) of one vector; a set bit of <paramref name="signs"/> makes its value negative.</summary>
    public void Write(int index, float scale, int signs, Span<float> values, float shift = 0)
    {
        var vector = _values.AsSpan(index * _dimensions, _dimensions);
        for (var i = 0; i < vector.Length; i++)
            values[i] = scale * (vector[i] + shift) * ((signs >> i & 1) == 0 ? 1 : -1);
    }
}
