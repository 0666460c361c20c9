using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen rows in four 512-bit registers: rows r, r + 4, r + 8 and r + 12 in one.</summary>
internal unsafe struct RowBytes512 : IRowProducts<RowBytes512, Vector512<float>>
{
    private Vector512<byte> _a;
    private Vector512<byte> _b;
    private Vector512<byte> _c;
    private Vector512<byte> _d;

    public static int Rows => 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 Load(byte* rows, long stride)
    {
        return new()
        {
            _a = EveryFourth(rows, stride),
            _b = EveryFourth(rows + stride, stride),
            _c = EveryFourth(rows + (2 * stride), stride),
            _d = EveryFourth(rows + (3 * stride), stride),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 LoadBits(byte* rows, long stride, int half)
    {
        var words = Load(rows, stride);
        return new() { _a = Spread(words._a, half), _b = Spread(words._b, half), _c = Spread(words._c, half), _d = Spread(words._d, half) };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 operator &(RowBytes512 left, byte mask)
    {
        var m = Vector512.Create(mask);
        return new() { _a = left._a & m, _b = left._b & m, _c = left._c & m, _d = left._d & m };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 operator |(RowBytes512 left, RowBytes512 right) =>
        new() { _a = left._a | right._a, _b = left._b | right._b, _c = left._c | right._c, _d = left._d | right._d };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 operator ^(RowBytes512 left, byte mask)
    {
        var m = Vector512.Create(mask);
        return new() { _a = left._a ^ m, _b = left._b ^ m, _c = left._c ^ m, _d = left._d ^ m };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 operator <<(RowBytes512 value, int bits) => new()
    {
        _a = (value._a.AsUInt32() << bits).AsByte(),
        _b = (value._b.AsUInt32() << bits).AsByte(),
        _c = (value._c.AsUInt32() << bits).AsByte(),
        _d = (value._d.AsUInt32() << bits).AsByte(),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 operator >>(RowBytes512 value, int bits) => new()
    {
        _a = (value._a.AsUInt32() >> bits).AsByte(),
        _b = (value._b.AsUInt32() >> bits).AsByte(),
        _c = (value._c.AsUInt32() >> bits).AsByte(),
        _d = (value._d.AsUInt32() >> bits).AsByte(),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 Select(RowBytes512 bytes, byte bit, byte value)
    {
        var (m, v) = (Vector512.Create(bit), Vector512.Create(value));
        return new()
        {
            _a = Vector512.Equals(bytes._a & m, m) & v,
            _b = Vector512.Equals(bytes._b & m, m) & v,
            _c = Vector512.Equals(bytes._c & m, m) & v,
            _d = Vector512.Equals(bytes._d & m, m) & v,
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 Lookup(RowBytes512 indices, byte* table)
    {
        var entries = Avx512F.BroadcastVector128ToVector512((uint*)table).AsByte();
        return new()
        {
            _a = Avx512BW.Shuffle(entries, indices._a),
            _b = Avx512BW.Shuffle(entries, indices._b),
            _c = Avx512BW.Shuffle(entries, indices._c),
            _d = Avx512BW.Shuffle(entries, indices._d),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(RowBytes512 value, byte* numbers)
    {
        var abLow = Avx512F.UnpackLow(value._a.AsInt32(), value._b.AsInt32()).AsInt64();
        var abHigh = Avx512F.UnpackHigh(value._a.AsInt32(), value._b.AsInt32()).AsInt64();
        var cdLow = Avx512F.UnpackLow(value._c.AsInt32(), value._d.AsInt32()).AsInt64();
        var cdHigh = Avx512F.UnpackHigh(value._c.AsInt32(), value._d.AsInt32()).AsInt64();
        Avx512F.UnpackLow(abLow, cdLow).AsByte().Store(numbers);
        Avx512F.UnpackHigh(abLow, cdLow).AsByte().Store(numbers + WeightPanel.ColumnBytes);
        Avx512F.UnpackLow(abHigh, cdHigh).AsByte().Store(numbers + (2 * WeightPanel.ColumnBytes));
        Avx512F.UnpackHigh(abHigh, cdHigh).AsByte().Store(numbers + (3 * WeightPanel.ColumnBytes));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes512 Multiply(RowBytes512 numbers, sbyte* values, int bits)
    {
        var x = Avx512F.BroadcastVector128ToVector512((uint*)values).AsSByte();
        return new()
        {
            _a = Multiply(numbers._a, x, bits).AsByte(),
            _b = Multiply(numbers._b, x, bits).AsByte(),
            _c = Multiply(numbers._c, x, bits).AsByte(),
            _d = Multiply(numbers._d, x, bits).AsByte(),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Fold(RowBytes512 half, int bits) =>
        Fold(half._a.AsInt16(), half._b.AsInt16(), half._c.AsInt16(), half._d.AsInt16(), PairProducts.MostSums(bits));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Fold(RowBytes512 first, RowBytes512 second, int bits)
    {
        var (a, b, c, d) = (first._a.AsInt16(), first._b.AsInt16(), first._c.AsInt16(), first._d.AsInt16());
        var (e, f, g, h) = (second._a.AsInt16(), second._b.AsInt16(), second._c.AsInt16(), second._d.AsInt16());
        return bits == PairProducts.SignedBits
            ? Fold(Widen(a) + Widen(e), Widen(b) + Widen(f), Widen(c) + Widen(g), Widen(d) + Widen(h))
            : Fold(a + e, b + f, c + g, d + h, PairProducts.MostSums(bits) / 2);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> AddTerm(Vector512<float> products, int term) => (products.AsInt32() + Vector512.Create(term)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadSums(float* source) => Vector512.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreSums(Vector512<float> value, float* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MultiplyAdd(Vector512<float> products, float* scales, float factor, Vector512<float> sum) =>
        Avx512F.FusedMultiplyAdd(Vector512.ConvertToSingle(products.AsInt32()), Vector512.Load(scales) * Vector512.Create(factor), sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> AddMins(float* mins, float term, Vector512<float> sum) =>
        Avx512F.FusedMultiplyAdd(Vector512.Load(mins), Vector512.Create(term), sum);

    /// <summary>Sums of two neighbouring products in 16 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Multiply(Vector512<byte> numbers, Vector512<sbyte> x, int bits)
    {
        if (bits != PairProducts.SignedBits)
            return Avx512BW.MultiplyAddAdjacent(numbers, x);
        // The magnitude of −128 is 128 as an unsigned byte; twice 128 × 127 stays below 2¹⁵.
        var signed = numbers.AsSByte();
        var turned = Vector512.ConditionalSelect(Vector512.LessThan(signed, Vector512<sbyte>.Zero), -x, x);
        return Avx512BW.MultiplyAddAdjacent(Avx512BW.Abs(signed), turned);
    }

    /// <summary>Sums of two neighbouring 16-bit numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Widen(Vector512<short> words) => Avx512BW.MultiplyAddAdjacent(words, Vector512.Create((short)1));

    /// <summary>One sum for each row, added in 16 bits as long as <paramref name="most"/> numbers can be.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Fold(Vector512<short> a, Vector512<short> b, Vector512<short> c, Vector512<short> d, int most)
    {
        if (most < 2)
            return Fold(Widen(a), Widen(b), Widen(c), Widen(d));
        var ab = Avx512F.UnpackLow(a.AsInt32(), b.AsInt32()).AsInt16() + Avx512F.UnpackHigh(a.AsInt32(), b.AsInt32()).AsInt16();
        var cd = Avx512F.UnpackLow(c.AsInt32(), d.AsInt32()).AsInt16() + Avx512F.UnpackHigh(c.AsInt32(), d.AsInt32()).AsInt16();
        if (most < 4)
            return Fold(Widen(ab), Widen(cd));
        var (lower, upper) = (Avx512F.UnpackLow(ab.AsInt64(), cd.AsInt64()), Avx512F.UnpackHigh(ab.AsInt64(), cd.AsInt64()));
        return Widen(lower.AsInt16() + upper.AsInt16()).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Fold(Vector512<int> a, Vector512<int> b, Vector512<int> c, Vector512<int> d) =>
        Fold(Avx512F.UnpackLow(a, b) + Avx512F.UnpackHigh(a, b), Avx512F.UnpackLow(c, d) + Avx512F.UnpackHigh(c, d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Fold(Vector512<int> ab, Vector512<int> cd) =>
        (Avx512F.UnpackLow(ab.AsInt64(), cd.AsInt64()).AsInt32() + Avx512F.UnpackHigh(ab.AsInt64(), cd.AsInt64()).AsInt32()).AsSingle();

    /// <summary>The bits of one half of a 32-bit number, each in a byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Spread(Vector512<byte> words, int half)
    {
        // Eight times the first byte of the half, eight times the second.
        var places = Vector512.Create(
            Vector256.Create(Vector128.Create(0UL, 0x0101010101010101).AsByte() + Vector128.Create((byte)(2 * half))));
        var bit = Vector512.Create(0x8040201008040201UL).AsByte();
        return Vector512.Equals(Avx512BW.Shuffle(words, places) & bit, bit);
    }

    // Vector512.Create of two halves goes through memory.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> EveryFourth(byte* row, long stride) =>
        RowBytes256.Pair(row, row + (4 * stride)).ToVector512Unsafe().WithUpper(
            RowBytes256.Pair(row + (8 * stride), row + (12 * stride)));
}
