using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Cpu.Kernels;

/// <summary>Four rows in four 128-bit registers.</summary>
internal unsafe struct RowBytes128 : IRowBytes<RowBytes128>
{
    private Vector128<byte> _a;
    private Vector128<byte> _b;
    private Vector128<byte> _c;
    private Vector128<byte> _d;

    public static int Rows => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 Load(byte* rows, long stride) => new()
    {
        _a = Vector128.Load(rows),
        _b = Vector128.Load(rows + stride),
        _c = Vector128.Load(rows + (2 * stride)),
        _d = Vector128.Load(rows + (3 * stride)),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 LoadBits(byte* rows, long stride, int half)
    {
        var words = Load(rows, stride);
        return new() { _a = Spread(words._a, half), _b = Spread(words._b, half), _c = Spread(words._c, half), _d = Spread(words._d, half) };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 operator &(RowBytes128 left, byte mask)
    {
        var m = Vector128.Create(mask);
        return new() { _a = left._a & m, _b = left._b & m, _c = left._c & m, _d = left._d & m };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 operator |(RowBytes128 left, RowBytes128 right) =>
        new() { _a = left._a | right._a, _b = left._b | right._b, _c = left._c | right._c, _d = left._d | right._d };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 operator ^(RowBytes128 left, byte mask)
    {
        var m = Vector128.Create(mask);
        return new() { _a = left._a ^ m, _b = left._b ^ m, _c = left._c ^ m, _d = left._d ^ m };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 operator <<(RowBytes128 value, int bits) => new()
    {
        _a = (value._a.AsUInt32() << bits).AsByte(),
        _b = (value._b.AsUInt32() << bits).AsByte(),
        _c = (value._c.AsUInt32() << bits).AsByte(),
        _d = (value._d.AsUInt32() << bits).AsByte(),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 operator >>(RowBytes128 value, int bits) => new()
    {
        _a = (value._a.AsUInt32() >> bits).AsByte(),
        _b = (value._b.AsUInt32() >> bits).AsByte(),
        _c = (value._c.AsUInt32() >> bits).AsByte(),
        _d = (value._d.AsUInt32() >> bits).AsByte(),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 Select(RowBytes128 bytes, byte bit, byte value)
    {
        var (m, v) = (Vector128.Create(bit), Vector128.Create(value));
        return new()
        {
            _a = Vector128.Equals(bytes._a & m, m) & v,
            _b = Vector128.Equals(bytes._b & m, m) & v,
            _c = Vector128.Equals(bytes._c & m, m) & v,
            _d = Vector128.Equals(bytes._d & m, m) & v,
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowBytes128 Lookup(RowBytes128 indices, byte* table)
    {
        var entries = Vector128.Load(table);
        return new()
        {
            _a = Vector128.Shuffle(entries, indices._a),
            _b = Vector128.Shuffle(entries, indices._b),
            _c = Vector128.Shuffle(entries, indices._c),
            _d = Vector128.Shuffle(entries, indices._d),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(RowBytes128 value, byte* numbers)
    {
        var (a, b, c, d) = (value._a.AsUInt32(), value._b.AsUInt32(), value._c.AsUInt32(), value._d.AsUInt32());
        Vector128.Create(a[0], b[0], c[0], d[0]).AsByte().Store(numbers);
        Vector128.Create(a[1], b[1], c[1], d[1]).AsByte().Store(numbers + WeightPanel.ColumnBytes);
        Vector128.Create(a[2], b[2], c[2], d[2]).AsByte().Store(numbers + (2 * WeightPanel.ColumnBytes));
        Vector128.Create(a[3], b[3], c[3], d[3]).AsByte().Store(numbers + (3 * WeightPanel.ColumnBytes));
    }

    /// <summary>The bits of one half of a 32-bit number, each in a byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Spread(Vector128<byte> words, int half)
    {
        // Eight times the first byte of the half, eight times the second.
        var places = Vector128.Create(0UL, 0x0101010101010101).AsByte() + Vector128.Create((byte)(2 * half));
        var bit = Vector128.Create(0x8040201008040201UL).AsByte();
        return Vector128.Equals(Vector128.Shuffle(words, places) & bit, bit);
    }
}
