using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>Sixteen lanes in an array: the scalar twin of every kernel written in <see cref="ILanes{T}"/>.</summary>
[InlineArray(Lanes.Count)]
internal unsafe struct LanesScalar : ILanes<LanesScalar>
{
    private float _first;

    public static int Registers => Lanes.Count;

    public static LanesScalar Zero => default;

    public static LanesScalar Create(float value)
    {
        LanesScalar result = default;
        ((Span<float>)result).Fill(value);
        return result;
    }

    public static LanesScalar Load(float* source)
    {
        LanesScalar result = default;
        new ReadOnlySpan<float>(source, Lanes.Count).CopyTo(result);
        return result;
    }

    public static LanesScalar LoadHalf(ushort* source)
    {
        LanesScalar result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = Halves.ToSingle(source[i]);
        return result;
    }

    public static LanesScalar LoadBrain(ushort* source)
    {
        LanesScalar result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
        return result;
    }

    public static LanesScalar LoadBytes(sbyte* source)
    {
        LanesScalar result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = source[i];
        return result;
    }

    public static void Store(LanesScalar value, float* target) => ((Span<float>)value).CopyTo(new Span<float>(target, Lanes.Count));

    public static void StoreBytes(LanesScalar value, sbyte* target)
    {
        for (var i = 0; i < Lanes.Count; i++)
            target[i] = (sbyte)value[i];
    }

    public static LanesScalar operator +(LanesScalar left, LanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] += right[i];
        return left;
    }

    public static LanesScalar operator -(LanesScalar left, LanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] -= right[i];
        return left;
    }

    public static LanesScalar operator *(LanesScalar left, LanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] *= right[i];
        return left;
    }

    public static LanesScalar operator /(LanesScalar left, LanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] /= right[i];
        return left;
    }

    public static LanesScalar MultiplyAdd(LanesScalar left, LanesScalar right, LanesScalar addend)
    {
        for (var i = 0; i < Lanes.Count; i++)
            addend[i] = MathF.FusedMultiplyAdd(left[i], right[i], addend[i]);
        return addend;
    }

    public static LanesScalar Min(LanesScalar left, LanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] = MathF.Min(left[i], right[i]);
        return left;
    }

    public static LanesScalar Max(LanesScalar left, LanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            left[i] = MathF.Max(left[i], right[i]);
        return left;
    }

    public static LanesScalar Abs(LanesScalar value)
    {
        for (var i = 0; i < Lanes.Count; i++)
            value[i] = MathF.Abs(value[i]);
        return value;
    }

    public static LanesScalar Round(LanesScalar value)
    {
        for (var i = 0; i < Lanes.Count; i++)
            value[i] = MathF.Round(value[i]);
        return value;
    }

    public static LanesScalar PowerOfTwo(LanesScalar value)
    {
        for (var i = 0; i < Lanes.Count; i++)
            value[i] = BitConverter.Int32BitsToSingle(((int)value[i] + 127) << 23);
        return value;
    }

    public static LanesScalar AddToExponent(LanesScalar value, LanesScalar steps)
    {
        for (var i = 0; i < Lanes.Count; i++)
        {
            var bits = BitConverter.SingleToInt32Bits(value[i]) + (BitConverter.SingleToInt32Bits(steps[i]) << 23);
            value[i] = BitConverter.Int32BitsToSingle(bits);
        }
        return value;
    }

    public static LanesScalar Select(LanesScalar mask, LanesScalar set, LanesScalar clear)
    {
        for (var i = 0; i < Lanes.Count; i++)
        {
            var bits = BitConverter.SingleToUInt32Bits(mask[i]);
            set[i] = BitConverter.UInt32BitsToSingle(
                (BitConverter.SingleToUInt32Bits(set[i]) & bits) | (BitConverter.SingleToUInt32Bits(clear[i]) & ~bits));
        }
        return set;
    }

    public static bool AnyGreater(LanesScalar left, LanesScalar right)
    {
        for (var i = 0; i < Lanes.Count; i++)
            if (left[i] > right[i])
                return true;
        return false;
    }

    public static float Sum(LanesScalar value)
    {
        for (var width = Lanes.Count / 2; width > 0; width /= 2)
            for (var i = 0; i < width; i++)
                value[i] += value[i + width];
        return value[0];
    }

    public static float Largest(LanesScalar value)
    {
        var largest = value[0];
        for (var i = 1; i < Lanes.Count; i++)
            largest = MathF.Max(largest, value[i]);
        return largest;
    }
}
