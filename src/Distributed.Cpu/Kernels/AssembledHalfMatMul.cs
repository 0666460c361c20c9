using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of F16 weights and one token with the processor's own conversion of halves, which .NET offers no intrinsic for, in code
/// assembled at run time. The lanes and their order are those of <see cref="FloatMatMul{TWeights,T}"/>.
/// </summary>
/// <typeparam name="T">The lanes: in one register of 512 bits, or in two of 256.</typeparam>
internal sealed unsafe class AssembledHalfMatMul<T> : FloatMatMul<F16Weights, T>
    where T : struct, ILanes<T>
{
    private const int Rows = 4;
    private const int CodeBytes = 4096;
    private const int LineBytes = 64;

    /// <summary>How far ahead in its row memory is asked for; 8 to 24 lines took the same time.</summary>
    private const int LinesAhead = 17;

    private readonly delegate* unmanaged[SuppressGCTransition]<RowsTask*, void> _multiply;

    private AssembledHalfMatMul()
        : base(Needed) => _multiply = (delegate* unmanaged[SuppressGCTransition]<RowsTask*, void>)Code;

    private static bool IsWide => typeof(T) == typeof(Lanes512);

    // AVX-512F has the conversions. The second set is what can be left out to take the path without assembled code.
    private static InstructionSets Needed => IsWide ? InstructionSets.Avx512 | InstructionSets.Avx512Vnni : InstructionSets.Avx2;

    // On Windows the caller keeps values in most of the registers that two for each row take.
    private static void* Code { get; } =
        IsWide ? ExecutableMemory.TryCreate(CodeBytes, Assemble())
        : AssembledHalves.HasConversions && !OperatingSystem.IsWindows() ? ExecutableMemory.TryCreate(CodeBytes, AssembleNarrow())
        : null;

    /// <summary>The kernel; null where there are not the instructions or the system refuses executable memory.</summary>
    public static AssembledHalfMatMul<T>? TryCreate(InstructionSets instructions) =>
        (Needed & ~instructions) != 0 || Code is null ? null : new();

    /// <inheritdoc/>
    protected override delegate*<in MatMulTask, byte*, int, int, float*, void> Converter =>
        AssembledHalves.ToSingles is null ? base.Converter : &Convert;

    /// <inheritdoc/>
    protected override void FourRows(in MatMulTask task, int row, int step, int token)
    {
        if (task.Columns < Lanes.Count)
        {
            base.FourRows(task, row, step, token);
            return;
        }
        var lanes = stackalloc float[Rows * Lanes.Count];
        var x = task.Values + ((long)token * task.Columns);
        var work = new RowsTask
        {
            Weights = task.Weights + (row * task.RowBytes),
            Stride = step * task.RowBytes,
            Input = x,
            Steps = task.Columns / Lanes.Count,
            Lanes = lanes,
        };
        _multiply(&work);
        for (var i = 0; i < Rows; i++)
        {
            var sum = T.Sum(T.Load(lanes + (i * Lanes.Count)));
            task.Write(token, row + (i * step), FloatTiles<T>.AddRest(task, work.Weights + (i * work.Stride), x, sum));
        }
    }

    private static void Convert(in MatMulTask task, byte* row, int column, int count, float* target) =>
        AssembledHalves.ToSingles((ushort*)row + column, target, count);

    private static Assembler Assemble()
    {
        AssemblerRegisterZMM[] sums = [zmm0, zmm1, zmm2, zmm3];
        AssemblerRegisterZMM[] weights = [zmm16, zmm17, zmm18, zmm19];
        return Loop(
            code =>
            {
                foreach (var sum in sums)
                    code.vpxord(sum, sum, sum);
            },
            (code, rows, input) =>
            {
                for (var i = 0; i < Rows; i++)
                    code.vcvtph2ps(weights[i], __ymmword_ptr[rows[i]]);
                code.vmovups(zmm20, __zmmword_ptr[input]);
                for (var i = 0; i < Rows; i++)
                    code.vfmadd231ps(sums[i], weights[i], zmm20);
            },
            (code, lanes) =>
            {
                for (var i = 0; i < Rows; i++)
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
            (code, rows, input) =>
            {
                for (var half = 0; half < 2; half++)
                {
                    for (var i = 0; i < Rows; i++)
                        code.vcvtph2ps(weights[i], __xmmword_ptr[rows[i] + (half * halfLanes * sizeof(ushort))]);
                    code.vmovups(ymm12, __ymmword_ptr[input + (half * halfLanes * sizeof(float))]);
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
    /// <param name="step">Adds sixteen columns: the addresses of four rows, and of the input.</param>
    /// <param name="store">Writes the sums to where a register points: [4 rows][16].</param>
    private static Assembler Loop(
        Action<Assembler> clear, Action<Assembler, AssemblerMemoryOperand[], AssemblerMemoryOperand> step,
        Action<Assembler, AssemblerRegister64> store)
    {
        var code = new Assembler(64);
        var (task, stride, input, steps) = (rax, rcx, rdx, r8);
        AssemblerRegister64[] rows = [r9, r10];
        code.mov(task, OperatingSystem.IsWindows() ? rcx : rdi);
        code.mov(stride, Field(nameof(RowsTask.Stride)));
        code.mov(input, Field(nameof(RowsTask.Input)));
        code.mov(steps, Field(nameof(RowsTask.Steps)));
        code.mov(rows[0], Field(nameof(RowsTask.Weights)));
        // Rows 0 and 1 go by the first pointer, 2 and 3 by the second.
        code.lea(rows[1], __[rows[0] + (stride * 2)]);
        clear(code);
        var (line, rest, end) = (code.CreateLabel(), code.CreateLabel(), code.CreateLabel());
        code.sub(steps, 2);
        code.jl(rest);
        code.Label(ref line);
        // Behind a row's end is the next one of its stream.
        foreach (var row in Addresses(LinesAhead * LineBytes))
            code.prefetcht0(row);
        step(code, Addresses(0), input + 0);
        step(code, Addresses(Lanes.Count * sizeof(ushort)), input + (Lanes.Count * sizeof(float)));
        code.add(rows[0], 2 * Lanes.Count * sizeof(ushort));
        code.add(rows[1], 2 * Lanes.Count * sizeof(ushort));
        code.add(input, 2 * Lanes.Count * sizeof(float));
        code.sub(steps, 2);
        code.jge(line);
        code.Label(ref rest);
        code.add(steps, 2);
        code.jz(end);
        step(code, Addresses(0), input + 0);
        code.Label(ref end);
        code.mov(input, Field(nameof(RowsTask.Lanes)));
        store(code, input);
        code.vzeroupper();
        code.ret();
        return code;

        AssemblerMemoryOperand[] Addresses(int offset) =>
            [rows[0] + offset, rows[0] + stride + offset, rows[1] + offset, rows[1] + stride + offset];

        AssemblerMemoryOperand Field(string name) => __qword_ptr[task + (int)Marshal.OffsetOf<RowsTask>(name)];
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct RowsTask
    {
        public byte* Weights;
        public long Stride;
        public float* Input;
        public long Steps;
        public float* Lanes;
    }
}
