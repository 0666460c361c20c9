using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of F16 weights and few tokens with the processor's own conversion of halves, which .NET offers no intrinsic for, in code
/// assembled at run time. The lanes and their order are those of <see cref="FloatMatMul{TWeights,T}"/>.
/// </summary>
/// <typeparam name="T">The lanes: in one register of 512 bits, or in two of 256.</typeparam>
internal sealed unsafe class AssembledHalfMatMul<T> : FloatMatMul<F16Weights, T>
    where T : struct, ILanes<T>
{
    private const int Rows = 4;

    /// <summary>Tokens that wide code multiplies four rows with at once: as many as there are registers for that no caller keeps.</summary>
    private const int WideTokens = 4;

    /// <summary>With more in all, converting four rows once for all of them takes less time.</summary>
    private const int MostWideTokens = 32;

    private const int CodeBytes = 4096;
    private const int LineBytes = 64;

    /// <summary>How far ahead in its row memory is asked for; 8 to 24 lines took the same time.</summary>
    private const int LinesAhead = 17;

    // For so many tokens at once; 0 where there is none.
    private static readonly nint[] Codes = [.. Enumerable.Range(0, WideTokens + 1).Select(tokens => (nint)TryAssemble(tokens))];

    private AssembledHalfMatMul()
        : base(Needed)
    {
    }

    private static bool IsWide => typeof(T) == typeof(Lanes512);

    // AVX-512F has the conversions. The second set is what can be left out to take the path without assembled code.
    private static InstructionSets Needed => IsWide ? InstructionSets.Avx512 | InstructionSets.Avx512Vnni : InstructionSets.Avx2;

    /// <summary>The kernel; null where there are not the instructions or the system refuses executable memory.</summary>
    public static AssembledHalfMatMul<T>? TryCreate(InstructionSets instructions) =>
        (Needed & ~instructions) != 0 || Array.IndexOf(Codes, 0, 1, IsWide ? WideTokens : 1) >= 0 ? null : new();

    /// <inheritdoc/>
    protected override int ManyTokens => IsWide ? MostWideTokens + 1 : base.ManyTokens;

    /// <inheritdoc/>
    protected override int TokensAtOnce => IsWide ? WideTokens : base.TokensAtOnce;

    /// <inheritdoc/>
    protected override delegate*<in MatMulTask, byte*, int, int, float*, void> Converter =>
        AssembledHalves.ToSingles is null ? base.Converter : &Convert;

    /// <inheritdoc/>
    protected override void FourRows(in MatMulTask task, int row, int step, int token, int endToken)
    {
        if (task.Columns < Lanes.Count)
        {
            base.FourRows(task, row, step, token, endToken);
            return;
        }
        var lanes = stackalloc float[WideTokens * Rows * Lanes.Count];
        var work = new RowsTask
        {
            Weights = task.Weights + (row * task.RowBytes),
            Stride = step * task.RowBytes,
            Input = task.Values + ((long)token * task.Columns),
            InputStride = (long)task.Columns * sizeof(float),
            Lanes = lanes,
        };
        // The code counts in the task itself.
        var counted = work with { Steps = task.Columns / Lanes.Count };
        ((delegate* unmanaged[SuppressGCTransition]<RowsTask*, void>)Codes[endToken - token])(&counted);
        for (; token < endToken; token++, work.Input += task.Columns)
            for (var i = 0; i < Rows; i++, lanes += Lanes.Count)
            {
                var sum = T.Sum(T.Load(lanes));
                task.Write(token, row + (i * step), FloatTiles<T>.AddRest(task, work.Weights + (i * work.Stride), work.Input, sum));
            }
    }

    private static void Convert(in MatMulTask task, byte* row, int column, int count, float* target) =>
        AssembledHalves.ToSingles((ushort*)row + column, target, count);

    // Null where there is no code for so many, or the system refuses executable memory. On Windows the caller keeps values in most
    // of the registers that two for each row take.
    private static void* TryAssemble(int tokens) =>
        tokens == 0 ? null
        : IsWide ? ExecutableMemory.TryCreate(CodeBytes, Assemble(tokens))
        : tokens == 1 && AssembledHalves.HasConversions && !OperatingSystem.IsWindows()
            ? ExecutableMemory.TryCreate(CodeBytes, AssembleNarrow())
        : null;

    private static Assembler Assemble(int tokens)
    {
        // Those of 6 to 15 are left alone: on Windows the caller keeps values in them.
        AssemblerRegisterZMM[] free =
            [zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27];
        AssemblerRegisterZMM[] sums = free[..(Rows * tokens)];
        AssemblerRegisterZMM[] inputs = free[(Rows * WideTokens)..];
        AssemblerRegisterZMM[] weights = [zmm28, zmm29, zmm30, zmm31];
        return Loop(
            code =>
            {
                foreach (var sum in sums)
                    code.vpxord(sum, sum, sum);
            },
            (code, rows, values) =>
            {
                for (var i = 0; i < Rows; i++)
                    code.vcvtph2ps(weights[i], __ymmword_ptr[rows[i]]);
                for (var token = 0; token < tokens; token++)
                {
                    var input = inputs[token % inputs.Length];
                    code.vmovups(input, __zmmword_ptr[values[token]]);
                    for (var i = 0; i < Rows; i++)
                        code.vfmadd231ps(sums[(Rows * token) + i], weights[i], input);
                }
            },
            (code, lanes) =>
            {
                for (var i = 0; i < sums.Length; i++)
                    code.vmovups(__zmmword_ptr[lanes + (i * Lanes.Count * sizeof(float))], sums[i]);
            });
    }

    // Each row's lanes in two registers.
    private static Assembler AssembleNarrow()
    {
        const int halfLanes = Lanes.Count / 2;
        AssemblerRegisterYMM[] sums = [ymm0, ymm1, ymm2, ymm3, ymm4, ymm5, ymm6, ymm7];
        AssemblerRegisterYMM[] weights = [ymm8, ymm9, ymm10, ymm11];
        return Loop(
            code =>
            {
                foreach (var sum in sums)
                    code.vxorps(sum, sum, sum);
            },
            (code, rows, values) =>
            {
                for (var half = 0; half < 2; half++)
                {
                    for (var i = 0; i < Rows; i++)
                        code.vcvtph2ps(weights[i], __xmmword_ptr[rows[i] + (half * halfLanes * sizeof(ushort))]);
                    code.vmovups(ymm12, __ymmword_ptr[values[0] + (half * halfLanes * sizeof(float))]);
                    for (var i = 0; i < Rows; i++)
                        code.vfmadd231ps(sums[(2 * i) + half], weights[i], ymm12);
                }
            },
            (code, lanes) =>
            {
                for (var i = 0; i < sums.Length; i++)
                    code.vmovups(__ymmword_ptr[lanes + (i * halfLanes * sizeof(float))], sums[i]);
            });
    }

    /// <summary>The loop over a row's columns: a cache line at a time, and sixteen that are left.</summary>
    /// <param name="clear">Clears the sums.</param>
    /// <param name="step">Adds sixteen columns: the addresses of four rows, and of four tokens' values.</param>
    /// <param name="store">Writes the sums to where a register points: [tokens][4 rows][16].</param>
    private static Assembler Loop(
        Action<Assembler> clear, Action<Assembler, AssemblerMemoryOperand[], AssemblerMemoryOperand[]> step,
        Action<Assembler, AssemblerRegister64> store)
    {
        const int stepBytes = Lanes.Count * sizeof(ushort);
        const int stepValues = Lanes.Count * sizeof(float);
        var code = new Assembler(64);
        var (task, stride, inputStride) = (rax, rcx, r8);
        AssemblerRegister64[] rows = [r9, r10];
        AssemblerRegister64[] inputs = [rdx, r11];
        code.mov(task, OperatingSystem.IsWindows() ? rcx : rdi);
        code.mov(stride, Field(nameof(RowsTask.Stride)));
        code.mov(inputStride, Field(nameof(RowsTask.InputStride)));
        code.mov(rows[0], Field(nameof(RowsTask.Weights)));
        code.mov(inputs[0], Field(nameof(RowsTask.Input)));
        // Rows, and tokens, 0 and 1 go by the first pointer, 2 and 3 by the second.
        code.lea(rows[1], __[rows[0] + (stride * 2)]);
        code.lea(inputs[1], __[inputs[0] + (inputStride * 2)]);
        clear(code);
        var (line, rest, end) = (code.CreateLabel(), code.CreateLabel(), code.CreateLabel());
        code.sub(Field(nameof(RowsTask.Steps)), 2);
        code.jl(rest);
        code.Label(ref line);
        // Behind a row's end is the next one of its stream.
        foreach (var row in Addresses(rows, stride, LinesAhead * LineBytes))
            code.prefetcht0(row);
        step(code, Addresses(rows, stride, 0), Addresses(inputs, inputStride, 0));
        step(code, Addresses(rows, stride, stepBytes), Addresses(inputs, inputStride, stepValues));
        foreach (var row in rows)
            code.add(row, 2 * stepBytes);
        foreach (var input in inputs)
            code.add(input, 2 * stepValues);
        code.sub(Field(nameof(RowsTask.Steps)), 2);
        code.jge(line);
        code.Label(ref rest);
        code.add(Field(nameof(RowsTask.Steps)), 2);
        code.jz(end);
        step(code, Addresses(rows, stride, 0), Addresses(inputs, inputStride, 0));
        code.Label(ref end);
        code.mov(rows[0], Field(nameof(RowsTask.Lanes)));
        store(code, rows[0]);
        code.vzeroupper();
        code.ret();
        return code;

        AssemblerMemoryOperand[] Addresses(AssemblerRegister64[] pairs, AssemblerRegister64 stride, int offset) =>
            [pairs[0] + offset, pairs[0] + stride + offset, pairs[1] + offset, pairs[1] + stride + offset];

        AssemblerMemoryOperand Field(string name) => __qword_ptr[task + (int)Marshal.OffsetOf<RowsTask>(name)];
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct RowsTask
    {
        public byte* Weights;
        public long Stride;
        public float* Input;
        public long InputStride;
        public long Steps;
        public float* Lanes;
    }
}
