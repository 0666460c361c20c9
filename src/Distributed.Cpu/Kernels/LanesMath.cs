using System.Runtime.CompilerServices;

namespace Distributed.Cpu.Kernels;

/// <summary>What several kernels do with rows of any length; the last lanes of a row that is no multiple of 16 are zero.</summary>
internal static unsafe class LanesMath<T>
    where T : struct, ILanes<T>
{
    /// <summary>Up to sixteen values; lanes past <paramref name="count"/> are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Load(float* source, int count) => count >= Lanes.Count ? T.Load(source) : LoadTail(source, count);

    /// <summary>Writes up to sixteen values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(T value, float* target, int count)
    {
        if (count >= Lanes.Count)
            T.Store(value, target);
        else
            StoreTail(value, target, count);
    }

    /// <summary>The dot product: lane by lane in order, then the sum of the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Dot(float* a, float* b, int count)
    {
        var sum = T.Zero;
        var i = 0;
        for (; i <= count - Lanes.Count; i += Lanes.Count)
            sum = T.MultiplyAdd(T.Load(a + i), T.Load(b + i), sum);
        if (i < count)
            sum = T.MultiplyAdd(LoadTail(a + i, count - i), LoadTail(b + i, count - i), sum);
        return T.Sum(sum);
    }

    /// <summary>
    /// e to the power of each lane, to about two units in the last place: 2^n times the Taylor polynomial of the remainder, whose
    /// size is at most ln 2 / 2. Arguments are held between −87 and 88, where the result is a normal number.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Exp(T x)
    {
        var power = ExpParts(x, out var rest, out var series);
        return T.MultiplyAdd(series, rest, T.Create(1f)) * power;
    }

    /// <summary>
    /// 2 to the power of each lane, to about one unit in the last place, for arguments of at most zero: an integer power times the
    /// polynomial of the remainder that has the least relative error between −½ and ½ (2e-9). Arguments below −126 count as −126.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Exp2OfNegative(T x)
    {
        // Added to a number whose last bit counts ones, an argument is rounded to an integer that lies in the lowest bits of the sum.
        const float Ones = 12582912f;
        x = T.Max(x, T.Create(-126f));
        var shifted = x + T.Create(Ones);
        var r = x - (shifted - T.Create(Ones));
        var p = T.MultiplyAdd(T.Create(0.0001535336341476068f), r, T.Create(0.0013398876180872321f));
        p = T.MultiplyAdd(p, r, T.Create(0.00961843691766262f));
        p = T.MultiplyAdd(p, r, T.Create(0.055503323674201965f));
        p = T.MultiplyAdd(p, r, T.Create(0.24022647738456726f));
        p = T.MultiplyAdd(p, r, T.Create(0.6931471824645996f));
        p = T.MultiplyAdd(p, r, T.Create(1f));
        return T.AddToExponent(p, shifted);
    }

    /// <summary>
    /// The hyperbolic tangent of each lane, m / (m + 2) with m = e^(2x) − 1, which keeps the digits of small arguments.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Tanh(T x)
    {
        var power = ExpParts(x + x, out var rest, out var series);
        var m = T.MultiplyAdd(series * rest, power, power - T.Create(1f));
        return m / (m + T.Create(2f));
    }

    /// <summary>e^x = (1 + rest × series) × the power of two that is returned.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T ExpParts(T x, out T rest, out T series)
    {
        x = T.Min(T.Max(x, T.Create(-87f)), T.Create(88f));
        var n = T.Round(x * T.Create(1.44269504f));
        // ln 2 in two parts, the first with few bits, so that n times it is exact.
        var r = T.MultiplyAdd(n, T.Create(-0.693359375f), x);
        r = T.MultiplyAdd(n, T.Create(2.12194440e-4f), r);
        var p = T.Create(1f / 5040);
        p = T.MultiplyAdd(p, r, T.Create(1f / 720));
        p = T.MultiplyAdd(p, r, T.Create(1f / 120));
        p = T.MultiplyAdd(p, r, T.Create(1f / 24));
        p = T.MultiplyAdd(p, r, T.Create(1f / 6));
        p = T.MultiplyAdd(p, r, T.Create(0.5f));
        series = T.MultiplyAdd(p, r, T.Create(1f));
        rest = r;
        return T.PowerOfTwo(n);
    }

    private static T LoadTail(float* source, int count)
    {
        var lanes = stackalloc float[Lanes.Count];
        for (var i = 0; i < Lanes.Count; i++)
            lanes[i] = i < count ? source[i] : 0;
        return T.Load(lanes);
    }

    private static void StoreTail(T value, float* target, int count)
    {
        var lanes = stackalloc float[Lanes.Count];
        T.Store(value, lanes);
        for (var i = 0; i < count; i++)
            target[i] = lanes[i];
    }
}
