using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen lanes in four 128-bit registers, for processors that have no wider ones.</summary>
internal readonly unsafe struct Lanes128(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d)
    : ILanes<Lanes128>
{
    private readonly Vector128<float> _a = a;
    private readonly Vector128<float> _b = b;
    private readonly Vector128<float> _c = c;
    private readonly Vector128<float> _d = d;

    public static int Registers => 4;

    public static Lanes128 Zero => Create(0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Create(float value)
    {
        var v = Vector128.Create(value);
        return new(v, v, v, v);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Load(float* source) =>
        new(Vector128.Load(source), Vector128.Load(source + 4), Vector128.Load(source + 8), Vector128.Load(source + 12));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadHalf(ushort* source)
    {
        var (a, b) = Vector128.Widen(Vector128.Load(source));
        var (c, d) = Vector128.Widen(Vector128.Load(source + 8));
        return new(Half(a), Half(b), Half(c), Half(d));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadBrain(ushort* source)
    {
        var (a, b) = Vector128.Widen(Vector128.Load(source));
        var (c, d) = Vector128.Widen(Vector128.Load(source + 8));
        return new((a << 16).AsSingle(), (b << 16).AsSingle(), (c << 16).AsSingle(), (d << 16).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 LoadBytes(sbyte* source)
    {
        var (low, high) = Vector128.Widen(Vector128.Load(source));
        var (a, b) = Vector128.Widen(low);
        var (c, d) = Vector128.Widen(high);
        return new(
            Vector128.ConvertToSingle(a), Vector128.ConvertToSingle(b), Vector128.ConvertToSingle(c), Vector128.ConvertToSingle(d));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes128 value, float* target)
    {
        value._a.Store(target);
        value._b.Store(target + 4);
        value._c.Store(target + 8);
        value._d.Store(target + 12);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytes(Lanes128 value, sbyte* target)
    {
        var low = Vector128.Narrow(Vector128.ConvertToInt32Native(value._a), Vector128.ConvertToInt32Native(value._b));
        var high = Vector128.Narrow(Vector128.ConvertToInt32Native(value._c), Vector128.ConvertToInt32Native(value._d));
        Vector128.Narrow(low, high).Store(target);
    }

    public static Lanes128 operator +(Lanes128 left, Lanes128 right) =>
        new(left._a + right._a, left._b + right._b, left._c + right._c, left._d + right._d);

    public static Lanes128 operator -(Lanes128 left, Lanes128 right) =>
        new(left._a - right._a, left._b - right._b, left._c - right._c, left._d - right._d);

    public static Lanes128 operator *(Lanes128 left, Lanes128 right) =>
        new(left._a * right._a, left._b * right._b, left._c * right._c, left._d * right._d);

    public static Lanes128 operator /(Lanes128 left, Lanes128 right) =>
        new(left._a / right._a, left._b / right._b, left._c / right._c, left._d / right._d);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 MultiplyAdd(Lanes128 left, Lanes128 right, Lanes128 addend) => new(
        Vector128.FusedMultiplyAdd(left._a, right._a, addend._a),
        Vector128.FusedMultiplyAdd(left._b, right._b, addend._b),
        Vector128.FusedMultiplyAdd(left._c, right._c, addend._c),
        Vector128.FusedMultiplyAdd(left._d, right._d, addend._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Min(Lanes128 left, Lanes128 right) => new(
        Vector128.MinNative(left._a, right._a),
        Vector128.MinNative(left._b, right._b),
        Vector128.MinNative(left._c, right._c),
        Vector128.MinNative(left._d, right._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Max(Lanes128 left, Lanes128 right) => new(
        Vector128.MaxNative(left._a, right._a),
        Vector128.MaxNative(left._b, right._b),
        Vector128.MaxNative(left._c, right._c),
        Vector128.MaxNative(left._d, right._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Abs(Lanes128 value) =>
        new(Vector128.Abs(value._a), Vector128.Abs(value._b), Vector128.Abs(value._c), Vector128.Abs(value._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Round(Lanes128 value) =>
        new(Vector128.Round(value._a), Vector128.Round(value._b), Vector128.Round(value._c), Vector128.Round(value._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 PowerOfTwo(Lanes128 value) => new(Power(value._a), Power(value._b), Power(value._c), Power(value._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 AddToExponent(Lanes128 value, Lanes128 steps) => new(
        AddToExponent(value._a, steps._a),
        AddToExponent(value._b, steps._b),
        AddToExponent(value._c, steps._c),
        AddToExponent(value._d, steps._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Select(Lanes128 mask, Lanes128 set, Lanes128 clear) => new(
        Vector128.ConditionalSelect(mask._a, set._a, clear._a),
        Vector128.ConditionalSelect(mask._b, set._b, clear._b),
        Vector128.ConditionalSelect(mask._c, set._c, clear._c),
        Vector128.ConditionalSelect(mask._d, set._d, clear._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyGreater(Lanes128 left, Lanes128 right)
    {
        var first = Vector128.GreaterThan(left._a, right._a) | Vector128.GreaterThan(left._b, right._b);
        var second = Vector128.GreaterThan(left._c, right._c) | Vector128.GreaterThan(left._d, right._d);
        return (first | second).AsInt32() != Vector128<int>.Zero;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes128 value) => Fold((value._a + value._c) + (value._b + value._d));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Lanes128 value) =>
        FoldMax(Vector128.MaxNative(Vector128.MaxNative(value._a, value._c), Vector128.MaxNative(value._b, value._d)));

    /// <summary>(0 + 2) + (1 + 3).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static float Fold(Vector128<float> value)
    {
        var pairs = value + Vector128.Shuffle(value, Vector128.Create(2, 3, 2, 3));
        return pairs.ToScalar() + pairs.GetElement(1);
    }

    /// <summary>The largest of four lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static float FoldMax(Vector128<float> value)
    {
        var pairs = Vector128.MaxNative(value, Vector128.Shuffle(value, Vector128.Create(2, 3, 2, 3)));
        return float.MaxNative(pairs.ToScalar(), pairs.GetElement(1));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector128<float> Half(Vector128<uint> bits)
    {
        var normal = (((bits & Vector128.Create(0x7FFFu)) << 13) | Vector128.Create(Halves.Exponent)).AsSingle();
        var value = Vector128.MinNative(normal, normal + normal - Vector128.Create(Halves.Zero)) * Vector128.Create(Halves.Back);
        return (value.AsUInt32() | ((bits & Vector128.Create(0x8000u)) << 16)).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> AddToExponent(Vector128<float> value, Vector128<float> steps) =>
        (value.AsInt32() + (steps.AsInt32() << 23)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Power(Vector128<float> value) =>
        ((Vector128.ConvertToInt32Native(value) + Vector128.Create(127)) << 23).AsSingle();
}
