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
    protected override void FourRows(in MatMulTask task, int row, int token)
    {
        if (task.Columns < Lanes.Count)
        {
            base.FourRows(task, row, token);
            return;
        }
        var lanes = stackalloc float[Rows * Lanes.Count];
        var x = task.Values + ((long)token * task.Columns);
        var work = new RowsTask
        {
            Weights = task.Weights + (row * task.RowBytes),
            RowBytes = task.RowBytes,
            Input = x,
            Steps = task.Columns / Lanes.Count,
            Lanes = lanes,
        };
        _multiply(&work);
        for (var i = 0; i < Rows; i++)
        {
            var sum = T.Sum(T.Load(lanes + (i * Lanes.Count)));
            task.Write(token, row + i, FloatTiles<T>.AddRest(task, work.Weights + (i * task.RowBytes), x, sum));
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

    /// <summary>The loop over a row's columns, sixteen at a time.</summary>
    /// <param name="clear">Clears the sums.</param>
    /// <param name="step">Adds sixteen columns: the addresses of four rows, and of the input.</param>
    /// <param name="store">Writes the sums to where a register points: [4 rows][16].</param>
    private static Assembler Loop(
        Action<Assembler> clear, Action<Assembler, AssemblerMemoryOperand[], AssemblerRegister64> step,
        Action<Assembler, AssemblerRegister64> store)
    {
        var code = new Assembler(64);
        var (task, stride, input, steps) = (rax, rcx, rdx, r8);
        AssemblerRegister64[] rows = [r9, r10, r11];
        code.mov(task, OperatingSystem.IsWindows() ? rcx : rdi);
        code.mov(stride, Field(nameof(RowsTask.RowBytes)));
        code.mov(input, Field(nameof(RowsTask.Input)));
        code.mov(steps, Field(nameof(RowsTask.Steps)));
        code.mov(rows[0], Field(nameof(RowsTask.Weights)));
        // Rows 0 and 1 go by the first pointer, 2 and 3 by the second; the third runs four rows ahead, where the next weights are.
        code.lea(rows[1], __[rows[0] + (stride * 2)]);
        code.lea(rows[2], __[rows[0] + (stride * 4)]);
        clear(code);
        var loop = code.CreateLabel();
        code.Label(ref loop);
        // Four times half a cache line are read, and as much is fetched ahead: the next four rows lie in one piece.
        code.prefetcht0(__byte_ptr[rows[2]]);
        code.prefetcht0(__byte_ptr[rows[2] + 64]);
        step(code, [rows[0] + 0, rows[0] + stride, rows[1] + 0, rows[1] + stride], input);
        code.add(rows[0], Lanes.Count * sizeof(ushort));
        code.add(rows[1], Lanes.Count * sizeof(ushort));
        code.add(rows[2], Rows * Lanes.Count * sizeof(ushort));
        code.add(input, Lanes.Count * sizeof(float));
        code.dec(steps);
        code.jnz(loop);
        code.mov(input, Field(nameof(RowsTask.Lanes)));
        store(code, input);
        code.vzeroupper();
        code.ret();
        return code;

        AssemblerMemoryOperand Field(string name) => __qword_ptr[task + (int)Marshal.OffsetOf<RowsTask>(name)];
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct RowsTask
    {
        public byte* Weights;
        public long RowBytes;
        public float* Input;
        public long Steps;
        public float* Lanes;
    }
}
