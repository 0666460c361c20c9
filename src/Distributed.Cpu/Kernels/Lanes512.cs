using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen lanes in one 512-bit register.</summary>
internal readonly unsafe struct Lanes512(Vector512<float> value) : ILanes<Lanes512>
{
    private readonly Vector512<float> _v = value;

    public static int Registers => 1;

    public static Lanes512 Zero => new(Vector512<float>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Create(float value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Load(float* source) => new(Vector512.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadHalf(ushort* source) =>
        new(FromHalf(Avx512F.ConvertToVector512Int32(Vector256.Load((short*)source)) << 13));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadBrain(ushort* source) => new((Widen(Vector256.Load(source)) << 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 LoadBytes(sbyte* source)
    {
        var words = Vector256.WidenLower(Vector128.Load(source).ToVector256Unsafe());
        return new(Vector512.ConvertToSingle(Vector512.WidenLower(words.ToVector512Unsafe())));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes512 value, float* target) => value._v.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytes(Lanes512 value, sbyte* target) =>
        Avx512F.ConvertToVector128SByte(Vector512.ConvertToInt32Native(value._v)).Store(target);

    public static Lanes512 operator +(Lanes512 left, Lanes512 right) => new(left._v + right._v);

    public static Lanes512 operator -(Lanes512 left, Lanes512 right) => new(left._v - right._v);

    public static Lanes512 operator *(Lanes512 left, Lanes512 right) => new(left._v * right._v);

    public static Lanes512 operator /(Lanes512 left, Lanes512 right) => new(left._v / right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 MultiplyAdd(Lanes512 left, Lanes512 right, Lanes512 addend) =>
        new(Vector512.FusedMultiplyAdd(left._v, right._v, addend._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Min(Lanes512 left, Lanes512 right) => new(Vector512.MinNative(left._v, right._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Max(Lanes512 left, Lanes512 right) => new(Vector512.MaxNative(left._v, right._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Abs(Lanes512 value) => new(Vector512.Abs(value._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Round(Lanes512 value) => new(Vector512.Round(value._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 PowerOfTwo(Lanes512 value) =>
        new(((Vector512.ConvertToInt32Native(value._v) + Vector512.Create(127)) << 23).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 AddToExponent(Lanes512 value, Lanes512 steps) =>
        new((value._v.AsInt32() + (steps._v.AsInt32() << 23)).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Select(Lanes512 mask, Lanes512 set, Lanes512 clear) =>
        new(Vector512.ConditionalSelect(mask._v, set._v, clear._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyGreater(Lanes512 left, Lanes512 right) => Vector512.GreaterThanAny(left._v, right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes512 value) => Lanes128.Fold(Lanes256.Fold(value._v.GetLower() + value._v.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Lanes512 value) =>
        Lanes128.FoldMax(Lanes256.FoldMax(Vector256.MaxNative(value._v.GetLower(), value._v.GetUpper())));

    /// <summary>Sixteen halves, each in the lower 16 bits of a lane whose upper ones are clear.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector512<float> Half(Vector512<uint> bits) => FromHalf((bits << 16).AsInt32() >> 3);

    /// <summary>Sixteen halves, their exponents and fractions where those of a single are, and above them nothing but their signs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> FromHalf(Vector512<int> bits)
    {
        // Copies of the sign that lie in the exponent are among the bits to set anyway.
        const byte SmallerMagnitude = 0b0010;
        var normal = (bits.AsUInt32() | Vector512.Create(Halves.Exponent)).AsSingle();
        var zero = (bits.AsUInt32() & Vector512.Create(0x80000000u)) | Vector512.Create(Halves.Zero).AsUInt32();
        var subnormal = Avx512F.FusedMultiplySubtract(normal, Vector512.Create(2f), zero.AsSingle());
        return Avx512DQ.Range(normal, subnormal, SmallerMagnitude) * Vector512.Create(Halves.Back);
    }

    private static Vector512<uint> Widen(Vector256<ushort> source) => Vector512.WidenLower(source.ToVector512Unsafe());
}
