using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Eight rows in four 256-bit registers: rows r and r + 4 in one.</summary>
internal unsafe struct RowBytes256 : IRowProducts<RowBytes256, Vector256<float>>
{
    private Vector256<byte> _a;
    private Vector256<byte> _b;
    private Vector256<byte> _c;
    private Vector256<byte> _d;

    public static int Rows => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 Load(byte* rows, long stride)
    {
        var upper = rows + (4 * stride);
        return new()
        {
            _a = Pair(rows, upper),
            _b = Pair(rows + stride, upper + stride),
            _c = Pair(rows + (2 * stride), upper + (2 * stride)),
            _d = Pair(rows + (3 * stride), upper + (3 * stride)),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 LoadBits(byte* rows, long stride, int half)
    {
        var words = Load(rows, stride);
        return new() { _a = Spread(words._a, half), _b = Spread(words._b, half), _c = Spread(words._c, half), _d = Spread(words._d, half) };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 operator &(RowBytes256 left, byte mask)
    {
        var m = Vector256.Create(mask);
        return new() { _a = left._a & m, _b = left._b & m, _c = left._c & m, _d = left._d & m };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 operator |(RowBytes256 left, RowBytes256 right) =>
        new() { _a = left._a | right._a, _b = left._b | right._b, _c = left._c | right._c, _d = left._d | right._d };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 operator ^(RowBytes256 left, byte mask)
    {
        var m = Vector256.Create(mask);
        return new() { _a = left._a ^ m, _b = left._b ^ m, _c = left._c ^ m, _d = left._d ^ m };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 operator <<(RowBytes256 value, int bits) => new()
    {
        _a = (value._a.AsUInt32() << bits).AsByte(),
        _b = (value._b.AsUInt32() << bits).AsByte(),
        _c = (value._c.AsUInt32() << bits).AsByte(),
        _d = (value._d.AsUInt32() << bits).AsByte(),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 operator >>(RowBytes256 value, int bits) => new()
    {
        _a = (value._a.AsUInt32() >> bits).AsByte(),
        _b = (value._b.AsUInt32() >> bits).AsByte(),
        _c = (value._c.AsUInt32() >> bits).AsByte(),
        _d = (value._d.AsUInt32() >> bits).AsByte(),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 Select(RowBytes256 bytes, byte bit, byte value)
    {
        var (m, v) = (Vector256.Create(bit), Vector256.Create(value));
        return new()
        {
            _a = Avx2.CompareEqual(bytes._a & m, m) & v,
            _b = Avx2.CompareEqual(bytes._b & m, m) & v,
            _c = Avx2.CompareEqual(bytes._c & m, m) & v,
            _d = Avx2.CompareEqual(bytes._d & m, m) & v,
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 Lookup(RowBytes256 indices, byte* table)
    {
        var entries = Avx2.BroadcastVector128ToVector256(table);
        return new()
        {
            _a = Avx2.Shuffle(entries, indices._a),
            _b = Avx2.Shuffle(entries, indices._b),
            _c = Avx2.Shuffle(entries, indices._c),
            _d = Avx2.Shuffle(entries, indices._d),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(RowBytes256 value, byte* numbers)
    {
        var abLow = Avx2.UnpackLow(value._a.AsInt32(), value._b.AsInt32()).AsInt64();
        var abHigh = Avx2.UnpackHigh(value._a.AsInt32(), value._b.AsInt32()).AsInt64();
        var cdLow = Avx2.UnpackLow(value._c.AsInt32(), value._d.AsInt32()).AsInt64();
        var cdHigh = Avx2.UnpackHigh(value._c.AsInt32(), value._d.AsInt32()).AsInt64();
        Avx2.UnpackLow(abLow, cdLow).AsByte().Store(numbers);
        Avx2.UnpackHigh(abLow, cdLow).AsByte().Store(numbers + WeightPanel.ColumnBytes);
        Avx2.UnpackLow(abHigh, cdHigh).AsByte().Store(numbers + (2 * WeightPanel.ColumnBytes));
        Avx2.UnpackHigh(abHigh, cdHigh).AsByte().Store(numbers + (3 * WeightPanel.ColumnBytes));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes256 Multiply(RowBytes256 numbers, sbyte* values, int bits)
    {
        var x = Avx2.BroadcastVector128ToVector256(values);
        return new()
        {
            _a = Multiply(numbers._a, x, bits).AsByte(),
            _b = Multiply(numbers._b, x, bits).AsByte(),
            _c = Multiply(numbers._c, x, bits).AsByte(),
            _d = Multiply(numbers._d, x, bits).AsByte(),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Fold(RowBytes256 half, int bits) =>
        Fold(half._a.AsInt16(), half._b.AsInt16(), half._c.AsInt16(), half._d.AsInt16(), PairProducts.MostSums(bits));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Fold(RowBytes256 first, RowBytes256 second, int bits)
    {
        var (a, b, c, d) = (first._a.AsInt16(), first._b.AsInt16(), first._c.AsInt16(), first._d.AsInt16());
        var (e, f, g, h) = (second._a.AsInt16(), second._b.AsInt16(), second._c.AsInt16(), second._d.AsInt16());
        return bits == PairProducts.SignedBits
            ? Fold(Widen(a) + Widen(e), Widen(b) + Widen(f), Widen(c) + Widen(g), Widen(d) + Widen(h))
            : Fold(a + e, b + f, c + g, d + h, PairProducts.MostSums(bits) / 2);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> AddTerm(Vector256<float> products, int term) => (products.AsInt32() + Vector256.Create(term)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadSums(float* source) => Vector256.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreSums(Vector256<float> value, float* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MultiplyAdd(Vector256<float> products, float* scales, float factor, Vector256<float> sum) =>
        Fma.MultiplyAdd(Vector256.ConvertToSingle(products.AsInt32()), Vector256.Load(scales) * Vector256.Create(factor), sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> AddMins(float* mins, float term, Vector256<float> sum) =>
        Fma.MultiplyAdd(Vector256.Load(mins), Vector256.Create(term), sum);

    /// <summary>Sums of two neighbouring products in 16 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Multiply(Vector256<byte> numbers, Vector256<sbyte> x, int bits)
    {
        if (bits != PairProducts.SignedBits)
            return Avx2.MultiplyAddAdjacent(numbers, x);
        // The magnitude of −128 is 128 as an unsigned byte; twice 128 × 127 stays below 2¹⁵.
        var signed = numbers.AsSByte();
        return Avx2.MultiplyAddAdjacent(Avx2.Abs(signed), Avx2.Sign(x, signed));
    }

    /// <summary>Sums of two neighbouring 16-bit numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Widen(Vector256<short> words) => Avx2.MultiplyAddAdjacent(words, Vector256.Create((short)1));

    /// <summary>One sum for each row, added in 16 bits as long as <paramref name="most"/> numbers can be.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Fold(Vector256<short> a, Vector256<short> b, Vector256<short> c, Vector256<short> d, int most)
    {
        if (most < 2)
            return Fold(Widen(a), Widen(b), Widen(c), Widen(d));
        var ab = Avx2.UnpackLow(a.AsInt32(), b.AsInt32()).AsInt16() + Avx2.UnpackHigh(a.AsInt32(), b.AsInt32()).AsInt16();
        var cd = Avx2.UnpackLow(c.AsInt32(), d.AsInt32()).AsInt16() + Avx2.UnpackHigh(c.AsInt32(), d.AsInt32()).AsInt16();
        if (most < 4)
            return Fold(Widen(ab), Widen(cd));
        var (lower, upper) = (Avx2.UnpackLow(ab.AsInt64(), cd.AsInt64()), Avx2.UnpackHigh(ab.AsInt64(), cd.AsInt64()));
        return Widen(lower.AsInt16() + upper.AsInt16()).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Fold(Vector256<int> a, Vector256<int> b, Vector256<int> c, Vector256<int> d) =>
        Fold(Avx2.UnpackLow(a, b) + Avx2.UnpackHigh(a, b), Avx2.UnpackLow(c, d) + Avx2.UnpackHigh(c, d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Fold(Vector256<int> ab, Vector256<int> cd) =>
        (Avx2.UnpackLow(ab.AsInt64(), cd.AsInt64()).AsInt32() + Avx2.UnpackHigh(ab.AsInt64(), cd.AsInt64()).AsInt32()).AsSingle();

    /// <summary>The bits of one half of a 32-bit number, each in a byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Spread(Vector256<byte> words, int half)
    {
        // Eight times the first byte of the half, eight times the second.
        var places = Vector256.Create(Vector128.Create(0UL, 0x0101010101010101).AsByte() + Vector128.Create((byte)(2 * half)));
        var bit = Vector256.Create(0x8040201008040201UL).AsByte();
        return Avx2.CompareEqual(Avx2.Shuffle(words, places) & bit, bit);
    }

    /// <summary>Sixteen bytes of one row, then of one behind it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<byte> Pair(byte* lower, byte* upper)
    {
        // One instruction less than to load both and join them; it takes the sixteen bytes before the upper row for nothing.
        var both = Vector256.Load(upper - 16).AsUInt32();
        return Avx2.Blend(Vector128.Load(lower).ToVector256Unsafe().AsUInt32(), both, 0xF0).AsByte();
    }
}
