using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen lanes in two 256-bit registers.</summary>
internal readonly unsafe struct Lanes256(Vector256<float> low, Vector256<float> high) : ILanes<Lanes256>
{
    private readonly Vector256<float> _low = low;
    private readonly Vector256<float> _high = high;

    public static int Registers => 2;

    public static Lanes256 Zero => new(Vector256<float>.Zero, Vector256<float>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Create(float value) => new(Vector256.Create(value), Vector256.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Load(float* source) => new(Vector256.Load(source), Vector256.Load(source + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadHalf(ushort* source) => new(Half(source), Half(source + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadBrain(ushort* source) => new((Widen(source) << 16).AsSingle(), (Widen(source + 8) << 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 LoadBytes(sbyte* source)
    {
        var words = Vector256.WidenLower(Vector128.Load(source).ToVector256Unsafe());
        return new(Vector256.ConvertToSingle(Vector256.WidenLower(words)), Vector256.ConvertToSingle(Vector256.WidenUpper(words)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes256 value, float* target)
    {
        value._low.Store(target);
        value._high.Store(target + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBytes(Lanes256 value, sbyte* target)
    {
        var words = Vector256.Narrow(Vector256.ConvertToInt32Native(value._low), Vector256.ConvertToInt32Native(value._high));
        Vector128.Narrow(words.GetLower(), words.GetUpper()).Store(target);
    }

    public static Lanes256 operator +(Lanes256 left, Lanes256 right) => new(left._low + right._low, left._high + right._high);

    public static Lanes256 operator -(Lanes256 left, Lanes256 right) => new(left._low - right._low, left._high - right._high);

    public static Lanes256 operator *(Lanes256 left, Lanes256 right) => new(left._low * right._low, left._high * right._high);

    public static Lanes256 operator /(Lanes256 left, Lanes256 right) => new(left._low / right._low, left._high / right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 MultiplyAdd(Lanes256 left, Lanes256 right, Lanes256 addend) => new(
        Vector256.FusedMultiplyAdd(left._low, right._low, addend._low),
        Vector256.FusedMultiplyAdd(left._high, right._high, addend._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Min(Lanes256 left, Lanes256 right) =>
        new(Vector256.MinNative(left._low, right._low), Vector256.MinNative(left._high, right._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Max(Lanes256 left, Lanes256 right) =>
        new(Vector256.MaxNative(left._low, right._low), Vector256.MaxNative(left._high, right._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Abs(Lanes256 value) => new(Vector256.Abs(value._low), Vector256.Abs(value._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Round(Lanes256 value) => new(Vector256.Round(value._low), Vector256.Round(value._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 PowerOfTwo(Lanes256 value) => new(Power(value._low), Power(value._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 AddToExponent(Lanes256 value, Lanes256 steps) =>
        new(AddToExponent(value._low, steps._low), AddToExponent(value._high, steps._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Select(Lanes256 mask, Lanes256 set, Lanes256 clear) => new(
        Vector256.ConditionalSelect(mask._low, set._low, clear._low),
        Vector256.ConditionalSelect(mask._high, set._high, clear._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyGreater(Lanes256 left, Lanes256 right) =>
        (Vector256.GreaterThan(left._low, right._low) | Vector256.GreaterThan(left._high, right._high)).AsInt32() != Vector256<int>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Lanes256 value) => Lanes128.Fold(Fold(value._low + value._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Lanes256 value) => Lanes128.FoldMax(FoldMax(Vector256.MaxNative(value._low, value._high)));

    /// <summary>The upper four lanes added to the lower four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector128<float> Fold(Vector256<float> value) => value.GetLower() + value.GetUpper();

    /// <summary>The larger of the upper and the lower four lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector128<float> FoldMax(Vector256<float> value) => Vector128.MaxNative(value.GetLower(), value.GetUpper());

    /// <summary>Eight halves, each in the lower 16 bits of a lane; the upper ones do not count.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<float> Half(Vector256<uint> bits)
    {
        var normal = (((bits << 13) & Vector256.Create(0x7FFFu << 13)) | Vector256.Create(Halves.Exponent)).AsSingle();
        var right = Vector256.FusedMultiplyAdd(normal, Vector256.Create(2f), Vector256.Create(-Halves.Zero));
        var sign = (bits << 16) & Vector256.Create(0x80000000u);
        return Vector256.MinNative(normal, right) * (sign | Vector256.Create(Halves.Back).AsUInt32()).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Half(ushort* source) => Half(Widen(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> AddToExponent(Vector256<float> value, Vector256<float> steps) =>
        (value.AsInt32() + (steps.AsInt32() << 23)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Power(Vector256<float> value) =>
        ((Vector256.ConvertToInt32Native(value) + Vector256.Create(127)) << 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Widen(ushort* source) => Vector256.WidenLower(Vector128.Load(source).ToVector256Unsafe());
}
