using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Cpu.Kernels;

/// <summary>A loop of multiplications with all operands in registers.</summary>
/// <param name="Needs">The instructions it uses.</param>
/// <param name="Operations">Of one turn, two to a multiply-add.</param>
/// <param name="Run">Runs some turns.</param>
internal sealed record PeakLoop(InstructionSets Needs, int Operations, Action<int> Run);

/// <summary>The loops behind <see cref="PeakRates"/>.</summary>
internal static unsafe class PeakLoops
{
    /// <summary>Sums that do not wait for each other: enough to hide how long an instruction takes, few enough for sixteen registers.</summary>
    public const int Sums = 12;

    /// <summary>Four bytes to multiply, neither 0 nor alike: multiplying zeros would draw less power than weights do, and run faster.</summary>
    public const int Operand = 0x5A3C7F11;

    /// <summary>Products of bytes (the last: of 16-bit numbers), the fastest first.</summary>
    public static IReadOnlyList<PeakLoop> Bytes { get; } =
    [
        .. AssembledPeakLoop.Loops,
        new(InstructionSets.Avx2 | InstructionSets.AvxVnni, Operations(Vector256<byte>.Count), Run<Vector256<int>, DotStep256>),
        new(InstructionSets.Avx512, Operations(Vector512<byte>.Count), Run<Vector512<int>, PairStep512>),
        new(InstructionSets.Avx2, Operations(Vector256<byte>.Count), Run<Vector256<short>, PairStep256>),
        new(InstructionSets.ArmDot, Operations(Vector128<byte>.Count), Run<Vector128<int>, ArmDotStep>),
        new(InstructionSets.None, Operations(Vector128<short>.Count), Run<Vector128<short>, WordStep>),
    ];

    /// <summary>Products of float32, the fastest first.</summary>
    public static IReadOnlyList<PeakLoop> Floats { get; } =
    [
        new(InstructionSets.Avx512, Operations(Vector512<float>.Count), Run<Vector512<float>, FloatStep512>),
        new(InstructionSets.Avx2, Operations(Vector256<float>.Count), Run<Vector256<float>, FloatStep256>),
        new(InstructionSets.None, Operations(Vector128<float>.Count), Run<Vector128<float>, FloatStep128>),
    ];

    /// <summary>
    /// Reads bytes in eight streams side by side, as a product reads rows: processors fetch ahead for each stream of its own, and one
    /// alone is some 20 % slower with one thread.
    /// </summary>
    /// <param name="data">The first byte.</param>
    /// <param name="bytes">A multiple of 2048.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static long Read(byte* data, int bytes)
    {
        const int Streams = 8;
        var (a, b, c, d) = (Vector512<long>.Zero, Vector512<long>.Zero, Vector512<long>.Zero, Vector512<long>.Zero);
        var stream = bytes / Streams;
        for (var at = data; at < data + stream; at += 256)
        {
            for (var from = at; from < data + bytes; from += stream)
            {
                a ^= Vector512.Load((long*)from);
                b ^= Vector512.Load((long*)(from + 64));
                c ^= Vector512.Load((long*)(from + 128));
                d ^= Vector512.Load((long*)(from + 192));
            }
        }
        return Vector512.Sum(a ^ b ^ c ^ d);
    }

    /// <summary>Operations of a turn whose instructions do so many multiply-adds each.</summary>
    public static int Operations(int products) => Sums * products * 2;

    // What it returns keeps the sums from being left out.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static TVector Loop<TVector, TStep>(int turns)
        where TStep : struct, IPeakStep<TVector>
    {
        var x = TStep.Start();
        var (a, b, c, d, e, f) = (x, x, x, x, x, x);
        var (g, h, i, j, k, l) = (x, x, x, x, x, x);
        for (; turns > 0; turns--)
        {
            a = TStep.Multiply(a, x);
            b = TStep.Multiply(b, x);
            c = TStep.Multiply(c, x);
            d = TStep.Multiply(d, x);
            e = TStep.Multiply(e, x);
            f = TStep.Multiply(f, x);
            g = TStep.Multiply(g, x);
            h = TStep.Multiply(h, x);
            i = TStep.Multiply(i, x);
            j = TStep.Multiply(j, x);
            k = TStep.Multiply(k, x);
            l = TStep.Multiply(l, x);
        }
        a = TStep.Add(TStep.Add(a, b), TStep.Add(c, d));
        e = TStep.Add(TStep.Add(e, f), TStep.Add(g, h));
        i = TStep.Add(TStep.Add(i, j), TStep.Add(k, l));
        return TStep.Add(TStep.Add(a, e), i);
    }

    private static void Run<TVector, TStep>(int turns)
        where TStep : struct, IPeakStep<TVector> => Loop<TVector, TStep>(turns);
}
