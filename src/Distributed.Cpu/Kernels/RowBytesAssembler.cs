using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Assembles products of a <see cref="FewTokensTask"/>: bytes of sixteen rows are unpacked in four registers, rows r, r + 4, r + 8 and
/// r + 12 in one, where they are multiplied. While eight blocks are multiplied, those that follow on are asked for, line by line.
/// </summary>
internal abstract unsafe class RowBytesAssembler
{
    private const int CodeBytes = 1 << 16;
    private const int Group = 8;
    private const int LineBytes = 64;
    private const int HalfBytes = 16;

    private static readonly AssemblerRegister64 Task = rax;
    private static readonly AssemblerRegister64 Stride = rcx;
    private static readonly AssemblerRegister64 ThreeStrides = rdx;
    private static readonly AssemblerRegister64[] Rows = [r8, r9, r10, r11];
    private static readonly AssemblerRegister64 Pool = r15;
    private static readonly AssemblerRegister64[] Kept = [rbx, rsi, rdi, rbp, r12, r13, r14, r15];

    // What callers want back of the registers that products are made in.
    private static readonly AssemblerRegisterXMM[] KeptVectors =
        OperatingSystem.IsWindows() ? [xmm6, xmm7, xmm8, xmm9, xmm10, xmm11, xmm12, xmm13, xmm14, xmm15] : [];

    private static readonly AssemblerRegisterZMM Spare = zmm2;
    private static readonly AssemblerRegisterZMM[] Constants = [zmm30, zmm31];

    // Two pairs of columns of the rows at hand, as they are in the file.
    private static readonly AssemblerRegisterZMM[] Columns = [zmm3, zmm4, zmm5, zmm29];
    private static readonly AssemblerRegisterYMM[] LowerColumns = [ymm3, ymm4, ymm5, ymm29];
    private static readonly AssemblerRegisterXMM[] LowestColumns = [xmm3, xmm4, xmm5, xmm29];

    private const int MaxConstants = 64;

    // As few generic types and 128-bit numbers as there are: the runtime compiles code for them when a process starts.
    private readonly Vector128<byte>* _pool;
    private int _constants;

    // What columns are in registers (Key), or NotLoaded.
    private const int NotLoaded = -1;
    private readonly int[] _loaded = [NotLoaded, NotLoaded, NotLoaded, NotLoaded];
    private int _older;

    protected RowBytesAssembler(Shape shape)
    {
        Kind = shape;
        // As long as the code: to the end of the process.
        _pool = (Vector128<byte>*)NativeMemory.AlignedAlloc(MaxConstants * 16, 64);
    }

    /// <summary>What the code depends on: how a block's numbers are unpacked, and what is done with their product.</summary>
    /// <param name="Terms">What the type wants of the input.</param>
    /// <param name="UnitBytes">Bytes of a unit.</param>
    /// <param name="UnitBlocks">Blocks of a unit, one or eight.</param>
    /// <param name="Ahead">How far ahead in its row memory is asked for, bytes.</param>
    /// <param name="Numbers">Sixteen columns as unsigned bytes: of a unit that far behind the first, of its block, of its half.</param>
    internal sealed record Shape(InputTerms Terms, int UnitBytes, int UnitBlocks, int Ahead, Func<int, int, int, RowBytesCode> Numbers);

    protected static AssemblerRegister64 Values => rbx;

    protected static AssemblerRegister64 Scales => rsi;

    protected static AssemblerRegister64 Terms => rdi;

    protected static AssemblerRegister64 SecondTerms => rbp;

    protected static AssemblerRegister64 Factors => r12;

    protected static AssemblerRegister64 ValuesStep => r13;

    protected static AssemblerRegister64 ScalesStep => r14;

    /// <summary>Registers for what lasts some instructions only.</summary>
    protected static AssemblerRegisterZMM[] Temporary { get; } = [zmm0, zmm1];

    protected Assembler Code { get; } = new(64);

    protected Shape Kind { get; }

    protected int Halves => Kind.Terms.HasHalves ? 2 : 1;

    /// <summary>Blocks of a unit that are multiplied at once.</summary>
    protected virtual int BlocksAtOnce => 1;

    /// <summary>How far ahead in its row memory is asked for.</summary>
    protected virtual int AheadBytes => Kind.Ahead;

    /// <summary>Code that loads the sums, which a register points at, into registers.</summary>
    protected abstract void LoadSums(AssemblerRegister64 sums);

    /// <summary>Code that stores them.</summary>
    protected abstract void StoreSums(AssemblerRegister64 sums);

    /// <summary>Code for <see cref="BlocksAtOnce"/> blocks of a unit, which goes on to the next ones' input and factors.</summary>
    protected abstract void WriteBlocks(int unit, int block);

    /// <summary>The code, a function of a <see cref="FewTokensTask"/>*; null where the system refuses executable memory.</summary>
    protected void* TryAssemble()
    {
        Write();
        return ExecutableMemory.TryCreate(CodeBytes, Code);
    }

    /// <summary>Code that unpacks sixteen columns of four rows; the register that has them, of which the caller changes none but the target.</summary>
    protected AssemblerRegisterZMM Unpack(int unit, int block, int half, int register, AssemblerRegisterZMM target)
    {
        var root = Kind.Numbers(unit, block, half).Root;
        // Where the other half has its bytes beside these, both are fetched at once.
        var other = Loads(Kind.Numbers(unit, block, 1 - half).Root).ToHashSet();
        foreach (var offset in Loads(root))
            if (other.Contains(half == 0 ? offset + HalfBytes : offset - HalfBytes))
                LoadPair(half == 0 ? offset : offset - HalfBytes, register);
        return Emit(root, target, free: 1, register);
    }

    /// <summary>Code that goes on to the next block's input and factors.</summary>
    protected void NextBlock()
    {
        Code.add(Factors, Kind.Terms.Vectors * WeightPanel.VectorBytes);
        Code.add(Values, ValuesStep);
        Code.add(Scales, ScalesStep);
        Code.add(Terms, ScalesStep);
        if (Kind.Terms.HasHalves)
            Code.add(SecondTerms, ScalesStep);
    }

    private void Write()
    {
        Code.mov(Task, OperatingSystem.IsWindows() ? rcx : rdi);
        foreach (var register in Kept)
            Code.push(register);
        if (KeptVectors.Length > 0)
            Code.sub(rsp, KeptVectors.Length * 16);
        for (var i = 0; i < KeptVectors.Length; i++)
            Code.vmovups(__xmmword_ptr[rsp + (i * 16)], KeptVectors[i]);
        LoadTask();
        FindConstants();
        var (group, rest, end) = (Code.CreateLabel(), Code.CreateLabel(), Code.CreateLabel());
        var unit = Code.CreateLabel();
        Code.cmp(Field(nameof(FewTokensTask.Eights)), 0);
        Code.je(rest);
        Code.Label(ref group);
        WriteUnits(Group / Kind.UnitBlocks, ahead: true);
        Code.dec(Field(nameof(FewTokensTask.Eights)));
        Code.jnz(group);
        Code.Label(ref rest);
        Code.cmp(Field(nameof(FewTokensTask.Rest)), 0);
        Code.je(end);
        Code.Label(ref unit);
        WriteUnits(1, ahead: false);
        Code.dec(Field(nameof(FewTokensTask.Rest)));
        Code.jnz(unit);
        Code.Label(ref end);
        Code.mov(Values, Field(nameof(FewTokensTask.Sums)));
        StoreSums(Values);
        for (var i = 0; i < KeptVectors.Length; i++)
            Code.vmovups(KeptVectors[i], __xmmword_ptr[rsp + (i * 16)]);
        if (KeptVectors.Length > 0)
            Code.add(rsp, KeptVectors.Length * 16);
        for (var i = Kept.Length - 1; i >= 0; i--)
            Code.pop(Kept[i]);
        Code.vzeroupper();
        Code.ret();
    }

    private void LoadTask()
    {
        Code.mov(Stride, Field(nameof(FewTokensTask.Stride)));
        Code.mov(Rows[0], Field(nameof(FewTokensTask.Unit)));
        Code.lea(ThreeStrides, __[Stride + (Stride * 2)]);
        Code.lea(Rows[1], __[Rows[0] + (Stride * 4)]);
        Code.lea(Rows[2], __[Rows[0] + (Stride * 8)]);
        Code.lea(Rows[3], __[Rows[1] + (Stride * 8)]);
        Code.mov(Values, Field(nameof(FewTokensTask.Sums)));
        LoadSums(Values);
        Code.mov(Values, Field(nameof(FewTokensTask.Values)));
        Code.mov(Scales, Field(nameof(FewTokensTask.Scales)));
        Code.mov(Terms, Field(nameof(FewTokensTask.Terms)));
        Code.mov(SecondTerms, Field(nameof(FewTokensTask.SecondTerms)));
        Code.mov(Factors, Field(nameof(FewTokensTask.Factors)));
        Code.mov(ValuesStep, Field(nameof(FewTokensTask.ValuesStep)));
        Code.mov(ScalesStep, Field(nameof(FewTokensTask.ScalesStep)));
    }

    /// <summary>Puts the constants of all blocks into the pool, and the first of them into registers.</summary>
    private void FindConstants()
    {
        for (var block = 0; block < Kind.UnitBlocks; block++)
            for (var half = 0; half < 2; half++)
                Find(Kind.Numbers(0, block, half).Root);
        Code.mov(Pool, (ulong)_pool);
        for (var i = 0; i < Math.Min(_constants, Constants.Length); i++)
            Code.vbroadcasti32x4(Constants[i], __xmmword_ptr[Pool + (i * 16)]);

        void Find(RowBytesCode.Node node)
        {
            switch (node)
            {
                case RowBytesCode.Node.Constant constant:
                    Find(constant.Value);
                    Add(constant.Bytes);
                    break;
                case RowBytesCode.Node.Or or:
                    Find(or.Left);
                    Find(or.Right);
                    break;
                case RowBytesCode.Node.Shift shift:
                    Find(shift.Value);
                    break;
                case RowBytesCode.Node.Shuffle shuffle:
                    Find(shuffle.Value);
                    Add(shuffle.Bytes);
                    break;
                case RowBytesCode.Node.Test test:
                    Find(test.Value);
                    Add(test.Bit);
                    break;
            }
        }

        void Add(Vector128<byte> bytes)
        {
            if (IndexOf(bytes) >= 0)
                return;
            if (_constants == MaxConstants)
                throw new NotSupportedException($"more than {MaxConstants} constants");
            _pool[_constants++] = bytes;
        }
    }

    private void WriteUnits(int units, bool ahead)
    {
        // Lines of sixteen rows, spread evenly over the blocks.
        var lines = ahead ? ((units * Kind.UnitBytes) + LineBytes - 1) / LineBytes : 0;
        var (asked, blocks) = (0, units * Kind.UnitBlocks);
        for (var index = 0; index < blocks; index += BlocksAtOnce)
        {
            for (; asked < lines * WeightPanel.Rows * (index + BlocksAtOnce) / blocks; asked++)
                Code.prefetcht0(Row(asked % WeightPanel.Rows, AheadBytes + (asked / WeightPanel.Rows * LineBytes)));
            WriteBlocks(index / Kind.UnitBlocks * Kind.UnitBytes, index % Kind.UnitBlocks);
        }

        foreach (var row in Rows)
            Code.add(row, units * Kind.UnitBytes);
        Array.Fill(_loaded, NotLoaded);
    }

    /// <summary>Code for a tree; the register that has the result.</summary>
    /// <param name="node">The tree.</param>
    /// <param name="target">The register for the result where it is none of the columns.</param>
    /// <param name="free">The first temporary register that may be used.</param>
    /// <param name="register">Which of the four registers of rows.</param>
    private AssemblerRegisterZMM Emit(RowBytesCode.Node node, AssemblerRegisterZMM target, int free, int register)
    {
        switch (node)
        {
            case RowBytesCode.Node.Load load:
                if (Array.IndexOf(_loaded, Key(load.Offset, register)) < 0)
                    Load(load.Offset, register);
                return Columns[Array.IndexOf(_loaded, Key(load.Offset, register))];
            case RowBytesCode.Node.Constant { Kind: RowBytesCode.NodeKind.And } and:
                Code.vpandd(target, Emit(and.Value, target, free, register), Constant(and.Bytes));
                return target;
            case RowBytesCode.Node.Constant xor:
                Code.vpxord(target, Emit(xor.Value, target, free, register), Constant(xor.Bytes));
                return target;
            case RowBytesCode.Node.Or or:
                var left = Emit(or.Left, target, free, register);
                // A column may make room for another one meanwhile.
                if (left != target)
                    Code.vmovdqa64(left = target, left);
                Code.vpord(target, left, Emit(or.Right, Temporary[free], free + 1, register));
                return target;
            case RowBytesCode.Node.Shift { Bits: 0 } none:
                return Emit(none.Value, target, free, register);
            case RowBytesCode.Node.Shift { Bits: > 0 } shift:
                Code.vpslld(target, Emit(shift.Value, target, free, register), (byte)shift.Bits);
                return target;
            case RowBytesCode.Node.Shift shift:
                Code.vpsrld(target, Emit(shift.Value, target, free, register), (byte)-shift.Bits);
                return target;
            case RowBytesCode.Node.Shuffle { IsTable: true } lookup:
                var indices = Emit(lookup.Value, target, free, register);
                Code.vpshufb(target, Constant(lookup.Bytes), indices);
                return target;
            case RowBytesCode.Node.Shuffle shuffle:
                var bytes = Emit(shuffle.Value, target, free, register);
                Code.vpshufb(target, bytes, Constant(shuffle.Bytes));
                return target;
            case RowBytesCode.Node.Test test:
                var tested = Emit(test.Value, target, free, register);
                Code.vptestmb(k1, tested, Constant(test.Bit));
                Code.vpmovm2b(target, k1);
                return target;
            default:
                throw new NotSupportedException($"{node}");
        }
    }

    /// <summary>Sixteen bytes of each of four rows.</summary>
    private void Load(int offset, int register)
    {
        var place = TakeRoom();
        Code.vmovdqu(LowestColumns[place], __xmmword_ptr[Row(register, offset)]);
        for (var lane = 1; lane < 4; lane++)
            Code.vinserti32x4(Columns[place], Columns[place], __xmmword_ptr[Row((4 * lane) + register, offset)], (byte)lane);
        _loaded[place] = Key(offset, register);
    }

    /// <summary>The same, and the sixteen behind them.</summary>
    private void LoadPair(int offset, int register)
    {
        if (Array.IndexOf(_loaded, Key(offset, register)) >= 0)
            return;
        var place = TakeRoom();
        var (first, second) = (Columns[place], Columns[place + 1]);
        // The first column of two rows and their second one, from the lower and the upper halves of two registers.
        Code.vmovdqu(LowerColumns[place], __ymmword_ptr[Row(register, offset)]);
        Code.vinserti64x4(first, first, __ymmword_ptr[Row(4 + register, offset)], 1);
        Code.vmovdqu(ymm2, __ymmword_ptr[Row(8 + register, offset)]);
        Code.vinserti64x4(Spare, Spare, __ymmword_ptr[Row(12 + register, offset)], 1);
        Code.vshufi32x4(second, first, Spare, 0b11_01_11_01);
        Code.vshufi32x4(first, first, Spare, 0b10_00_10_00);
        (_loaded[place], _loaded[place + 1]) = (Key(offset, register), Key(offset + HalfBytes, register));
    }

    // The pair that has been there for longer makes room.
    private int TakeRoom()
    {
        var place = _older;
        _older = 2 - _older;
        (_loaded[place], _loaded[place + 1]) = (NotLoaded, NotLoaded);
        return place;
    }

    private static int Key(int offset, int register) => (4 * offset) + register;

    private static IEnumerable<int> Loads(RowBytesCode.Node node) => node switch
    {
        RowBytesCode.Node.Load load => [load.Offset],
        RowBytesCode.Node.Constant constant => Loads(constant.Value),
        RowBytesCode.Node.Or or => Loads(or.Left).Concat(Loads(or.Right)),
        RowBytesCode.Node.Shift shift => Loads(shift.Value),
        RowBytesCode.Node.Shuffle shuffle => Loads(shuffle.Value),
        RowBytesCode.Node.Test test => Loads(test.Value),
        _ => throw new NotSupportedException($"{node}"),
    };

    private int IndexOf(Vector128<byte> constant)
    {
        for (var i = 0; i < _constants; i++)
            if (_pool[i] == constant)
                return i;
        return -1;
    }

    private AssemblerRegisterZMM Constant(Vector128<byte> bytes)
    {
        var index = IndexOf(bytes);
        if (index < Constants.Length)
            return Constants[index];
        Code.vbroadcasti32x4(Spare, __xmmword_ptr[Pool + (index * 16)]);
        return Spare;
    }

    private static AssemblerMemoryOperand Row(int row, int offset) => (row % 4) switch
    {
        0 => __[Rows[row / 4] + offset],
        1 => __[Rows[row / 4] + Stride + offset],
        2 => __[Rows[row / 4] + (Stride * 2) + offset],
        _ => __[Rows[row / 4] + ThreeStrides + offset],
    };

    private static AssemblerMemoryOperand Field(string name) => __qword_ptr[Task + (int)Marshal.OffsetOf<FewTokensTask>(name)];
}
