using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Products of F16 weights and one token with the processor's own conversion of halves, which .NET offers no intrinsic for, in code
/// assembled at run time. The lanes and their order are those of <see cref="FloatMatMul{TWeights,T}"/>.
/// </summary>
internal sealed unsafe class AssembledHalfMatMul : FloatMatMul<F16Weights, Lanes512>
{
    private const int Rows = 4;
    private const int CodeBytes = 4096;

    // AVX-512F has the conversions. The second set is what can be left out to take the path without assembled code.
    private const InstructionSets Needed = InstructionSets.Avx512 | InstructionSets.Avx512Vnni;

    private readonly delegate* unmanaged[SuppressGCTransition]<RowsTask*, void> _multiply;

    private AssembledHalfMatMul()
        : base(Needed) => _multiply = (delegate* unmanaged[SuppressGCTransition]<RowsTask*, void>)Code;

    private static void* Code { get; } = ExecutableMemory.TryCreate(CodeBytes, Assemble);

    /// <summary>The kernel; null where there are not the instructions or the system refuses executable memory.</summary>
    public static AssembledHalfMatMul? TryCreate(InstructionSets instructions) =>
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
            var sum = Lanes512.Sum(Lanes512.Load(lanes + (i * Lanes.Count)));
            task.Write(token, row + i, FloatTiles<Lanes512>.AddRest(task, work.Weights + (i * task.RowBytes), x, sum));
        }
    }

    private static void Convert(in MatMulTask task, byte* row, int column, int count, float* target) =>
        AssembledHalves.ToSingles((ushort*)row + column, target, count);

    private static byte[] Assemble(nint address)
    {
        var code = new Assembler(64);
        var (task, stride, input, steps) = (rax, rcx, rdx, r8);
        AssemblerRegister64[] rows = [r9, r10, r11];
        AssemblerRegisterZMM[] sums = [zmm0, zmm1, zmm2, zmm3];
        AssemblerRegisterZMM[] weights = [zmm16, zmm17, zmm18, zmm19];
        code.mov(task, OperatingSystem.IsWindows() ? rcx : rdi);
        code.mov(stride, Field(nameof(RowsTask.RowBytes)));
        code.mov(input, Field(nameof(RowsTask.Input)));
        code.mov(steps, Field(nameof(RowsTask.Steps)));
        code.mov(rows[0], Field(nameof(RowsTask.Weights)));
        // Rows 0 and 1 go by the first pointer, 2 and 3 by the second; the third runs four rows ahead, where the next weights are.
        code.lea(rows[1], __[rows[0] + (stride * 2)]);
        code.lea(rows[2], __[rows[0] + (stride * 4)]);
        foreach (var sum in sums)
            code.vpxord(sum, sum, sum);
        var loop = code.CreateLabel();
        code.Label(ref loop);
        code.vcvtph2ps(weights[0], __ymmword_ptr[rows[0]]);
        code.vcvtph2ps(weights[1], __ymmword_ptr[rows[0] + stride]);
        code.vcvtph2ps(weights[2], __ymmword_ptr[rows[1]]);
        code.vcvtph2ps(weights[3], __ymmword_ptr[rows[1] + stride]);
        // Four times half a cache line are read, and as much is fetched ahead: the next four rows lie in one piece.
        code.prefetcht1(__byte_ptr[rows[2]]);
        code.prefetcht1(__byte_ptr[rows[2] + 64]);
        code.vmovups(zmm20, __zmmword_ptr[input]);
        for (var i = 0; i < Rows; i++)
            code.vfmadd231ps(sums[i], weights[i], zmm20);
        code.add(rows[0], 32);
        code.add(rows[1], 32);
        code.add(rows[2], 128);
        code.add(input, 64);
        code.dec(steps);
        code.jnz(loop);
        code.mov(input, Field(nameof(RowsTask.Lanes)));
        for (var i = 0; i < Rows; i++)
            code.vmovups(__zmmword_ptr[input + (i * 64)], sums[i]);
        code.vzeroupper();
        code.ret();
        using var bytes = new MemoryStream();
        code.Assemble(new StreamCodeWriter(bytes), (ulong)address);
        return bytes.ToArray();

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
