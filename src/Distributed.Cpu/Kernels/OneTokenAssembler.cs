using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>Blocks of sixteen rows times those of one token. Assembled code knows this layout.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct OneTokenTask
{
    /// <summary>The first row's first unit.</summary>
    public byte* Unit;

    /// <summary>Bytes from a row to the next.</summary>
    public long Stride;

    /// <summary>[blocks][vectors][16 rows]</summary>
    public float* Factors;

    /// <summary>The first block's values; those of the next are <see cref="ValuesStep"/> bytes behind.</summary>
    public sbyte* Values;

    /// <summary>The first block's scale; the next one is <see cref="ScalesStep"/> bytes behind, as with terms.</summary>
    public float* Scales;

    /// <summary>See <see cref="InputTerms"/>.</summary>
    public int* Terms;

    /// <summary>The second term, with halves.</summary>
    public int* SecondTerms;

    /// <summary>[16 rows]: what is added to.</summary>
    public float* Sums;

    /// <summary>Eight blocks at a time.</summary>
    public long Eights;

    /// <summary>Units that are left then.</summary>
    public long Rest;

    /// <summary>Bytes from a block's values to the next's.</summary>
    public long ValuesStep;

    /// <summary>Bytes from a block's scale to the next's.</summary>
    public long ScalesStep;
}

/// <summary>
/// Assembles the product of a <see cref="OneTokenTask"/>: bytes of sixteen rows are unpacked in four registers, rows r, r + 4, r + 8 and
/// r + 12 in one, multiplied there with <c>vpdpbusd</c>, and folded to one sum for each row. While eight blocks are multiplied, those
/// that follow on are asked for, line by line.
/// </summary>
internal sealed unsafe class OneTokenAssembler
{
    private const int CodeBytes = 1 << 15;
    private const int Group = 8;
    private const int LineBytes = 64;
    private const int HalfBytes = 16;

    private static readonly AssemblerRegister64 Task = rax;
    private static readonly AssemblerRegister64 Stride = rcx;
    private static readonly AssemblerRegister64 ThreeStrides = rdx;
    private static readonly AssemblerRegister64[] Rows = [r8, r9, r10, r11];
    private static readonly AssemblerRegister64 Values = rbx;
    private static readonly AssemblerRegister64 Scales = rsi;
    private static readonly AssemblerRegister64 Terms = rdi;
    private static readonly AssemblerRegister64 SecondTerms = rbp;
    private static readonly AssemblerRegister64 Factors = r12;
    private static readonly AssemblerRegister64 ValuesStep = r13;
    private static readonly AssemblerRegister64 ScalesStep = r14;
    private static readonly AssemblerRegister64 Pool = r15;
    private static readonly AssemblerRegister64[] Kept = [rbx, rsi, rdi, rbp, r12, r13, r14, r15];

    // Windows wants xmm6 to xmm15 back.
    private static readonly AssemblerRegisterZMM[] Temporary = [zmm0, zmm1];
    private static readonly AssemblerRegisterZMM Spare = zmm2;
    private static readonly AssemblerRegisterZMM[] Products = [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23];
    private static readonly AssemblerRegisterZMM Sum = zmm24;
    private static readonly AssemblerRegisterZMM[] Input = [zmm25, zmm26, zmm27, zmm28];
    private static readonly AssemblerRegisterZMM[] Constants = [zmm30, zmm31];

    // Two pairs of columns of the rows at hand, as they are in the file.
    private static readonly AssemblerRegisterZMM[] Columns = [zmm3, zmm4, zmm5, zmm29];
    private static readonly AssemblerRegisterYMM[] LowerColumns = [ymm3, ymm4, ymm5, ymm29];
    private static readonly AssemblerRegisterXMM[] LowestColumns = [xmm3, xmm4, xmm5, xmm29];

    private readonly Assembler _code = new(64);
    private readonly Shape _shape;
    private readonly List<UInt128> _constants = [];
    private readonly UInt128* _pool;
    private readonly (int Offset, int Register)?[] _loaded = new (int, int)?[4];
    private int _older;

    private OneTokenAssembler(Shape shape)
    {
        _shape = shape;
        // As long as the code: to the end of the process.
        _pool = (UInt128*)NativeMemory.AlignedAlloc(64 * 16, 64);
    }

    /// <summary>What the code depends on: how a block's numbers are unpacked, and what is done with their product.</summary>
    /// <param name="Terms">What the type wants of the input.</param>
    /// <param name="UnitBytes">Bytes of a unit.</param>
    /// <param name="UnitBlocks">Blocks of a unit, one or eight.</param>
    /// <param name="Ahead">How far ahead in its row memory is asked for, bytes.</param>
    /// <param name="Numbers">Sixteen columns as unsigned bytes: of a unit that far behind the first, of its block, of its half.</param>
    internal sealed record Shape(InputTerms Terms, int UnitBytes, int UnitBlocks, int Ahead, Func<int, int, int, RowBytesCode> Numbers);

    /// <summary>The code for a type of weights, a function of a <see cref="OneTokenTask"/>*; null where the system refuses executable memory.</summary>
    public static void* TryAssemble(Shape shape)
    {
        var assembler = new OneTokenAssembler(shape);
        assembler.Write();
        return ExecutableMemory.TryCreate(CodeBytes, assembler.Encode);
    }

    private int Halves => _shape.Terms.HasHalves ? 2 : 1;

    private byte[] Encode(nint address)
    {
        using var bytes = new MemoryStream();
        _code.Assemble(new StreamCodeWriter(bytes), (ulong)address);
        return bytes.ToArray();
    }

    private void Write()
    {
        _code.mov(Task, OperatingSystem.IsWindows() ? rcx : rdi);
        foreach (var register in Kept)
            _code.push(register);
        LoadTask();
        FindConstants();
        var (group, rest, end) = (_code.CreateLabel(), _code.CreateLabel(), _code.CreateLabel());
        var unit = _code.CreateLabel();
        _code.cmp(Field(nameof(OneTokenTask.Eights)), 0);
        _code.je(rest);
        _code.Label(ref group);
        WriteBlocks(Group / _shape.UnitBlocks, ahead: true);
        _code.dec(Field(nameof(OneTokenTask.Eights)));
        _code.jnz(group);
        _code.Label(ref rest);
        _code.cmp(Field(nameof(OneTokenTask.Rest)), 0);
        _code.je(end);
        _code.Label(ref unit);
        WriteBlocks(1, ahead: false);
        _code.dec(Field(nameof(OneTokenTask.Rest)));
        _code.jnz(unit);
        _code.Label(ref end);
        _code.mov(Values, Field(nameof(OneTokenTask.Sums)));
        _code.vmovups(__zmmword_ptr[Values], Sum);
        foreach (var register in Kept.Reverse())
            _code.pop(register);
        _code.vzeroupper();
        _code.ret();
    }

    private void LoadTask()
    {
        _code.mov(Stride, Field(nameof(OneTokenTask.Stride)));
        _code.mov(Rows[0], Field(nameof(OneTokenTask.Unit)));
        _code.lea(ThreeStrides, __[Stride + (Stride * 2)]);
        _code.lea(Rows[1], __[Rows[0] + (Stride * 4)]);
        _code.lea(Rows[2], __[Rows[0] + (Stride * 8)]);
        _code.lea(Rows[3], __[Rows[1] + (Stride * 8)]);
        _code.mov(Values, Field(nameof(OneTokenTask.Sums)));
        _code.vmovups(Sum, __zmmword_ptr[Values]);
        _code.mov(Values, Field(nameof(OneTokenTask.Values)));
        _code.mov(Scales, Field(nameof(OneTokenTask.Scales)));
        _code.mov(Terms, Field(nameof(OneTokenTask.Terms)));
        _code.mov(SecondTerms, Field(nameof(OneTokenTask.SecondTerms)));
        _code.mov(Factors, Field(nameof(OneTokenTask.Factors)));
        _code.mov(ValuesStep, Field(nameof(OneTokenTask.ValuesStep)));
        _code.mov(ScalesStep, Field(nameof(OneTokenTask.ScalesStep)));
    }

    /// <summary>Puts the constants of all blocks into the pool, and the first of them into registers.</summary>
    private void FindConstants()
    {
        for (var block = 0; block < _shape.UnitBlocks; block++)
            for (var half = 0; half < 2; half++)
                Find(_shape.Numbers(0, block, half).Root);
        _code.mov(Pool, (ulong)_pool);
        for (var i = 0; i < Math.Min(_constants.Count, Constants.Length); i++)
            _code.vbroadcasti32x4(Constants[i], __xmmword_ptr[Pool + (i * 16)]);

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

        void Add(UInt128 bytes)
        {
            if (_constants.Contains(bytes))
                return;
            _pool[_constants.Count] = bytes;
            _constants.Add(bytes);
        }
    }

    private void WriteBlocks(int units, bool ahead)
    {
        // Lines of sixteen rows, spread evenly over the blocks.
        var lines = ahead ? ((units * _shape.UnitBytes) + LineBytes - 1) / LineBytes : 0;
        var (asked, blocks) = (0, units * _shape.UnitBlocks);
        var some = _shape.UnitBlocks > 1 && !_shape.Terms.HasHalves ? 2 : 1;
        for (var index = 0; index < blocks; index += some)
        {
            for (; asked < lines * WeightPanel.Rows * (index + some) / blocks; asked++)
                _code.prefetcht0(Row(asked % WeightPanel.Rows, _shape.Ahead + (asked / WeightPanel.Rows * LineBytes)));
            var (unit, block) = (index / _shape.UnitBlocks * _shape.UnitBytes, index % _shape.UnitBlocks);
            if (some == 2)
                WritePair(unit, block);
            else
                WriteBlock(unit, block);
        }

        foreach (var row in Rows)
            _code.add(row, units * _shape.UnitBytes);
        Array.Clear(_loaded);
    }

    /// <summary>Two neighbouring blocks of a unit, which often have their numbers in the same bytes.</summary>
    private void WritePair(int unit, int block)
    {
        for (var half = 0; half < 2; half++)
        {
            _code.vbroadcasti32x4(Input[half], __xmmword_ptr[Values + (half * 16)]);
            _code.vbroadcasti32x4(Input[2 + half], __xmmword_ptr[Values + ValuesStep + (half * 16)]);
        }

        for (var register = 0; register < 4; register++)
            for (var half = 0; half < 2; half++)
                for (var which = 0; which < 2; which++)
                    Multiply(Products[(which * 4) + register], unit, block + which, half, register, Input[(2 * which) + half], starts: half == 0);
        for (var which = 0; which < 2; which++)
        {
            AddProduct(which * 4, half: 0);
            AddMins();
            NextBlock();
        }
    }

    private void WriteBlock(int unit, int block)
    {
        for (var half = 0; half < 2; half++)
            _code.vbroadcasti32x4(Input[half], __xmmword_ptr[Values + (half * 16)]);
        for (var register = 0; register < 4; register++)
            for (var half = 0; half < 2; half++)
            {
                var product = Products[register + (_shape.Terms.HasHalves ? 4 * half : 0)];
                Multiply(product, unit, block, half, register, Input[half], starts: half == 0 || _shape.Terms.HasHalves);
            }

        for (var half = 0; half < Halves; half++)
            AddProduct(half * 4, half);
        AddMins();
        NextBlock();
    }

    private void Multiply(
        AssemblerRegisterZMM product, int unit, int block, int half, int register, AssemblerRegisterZMM input, bool starts)
    {
        if (starts)
            _code.vpxord(product, product, product);
        var root = _shape.Numbers(unit, block, half).Root;
        // Where the other half has its bytes beside these, both are fetched at once.
        var other = Loads(_shape.Numbers(unit, block, 1 - half).Root).ToHashSet();
        foreach (var offset in Loads(root))
            if (other.Contains(half == 0 ? offset + HalfBytes : offset - HalfBytes))
                LoadPair(half == 0 ? offset : offset - HalfBytes, register);
        _code.vpdpbusd(product, Emit(root, 0, register), input);
    }

    private void AddProduct(int first, int half)
    {
        Fold(first);
        var (product, factor) = (Temporary[0], Temporary[1]);
        if (!_shape.Terms.HasMins)
            _code.vpaddd(product, product, __dword_bcst[half == 0 ? Terms : SecondTerms]);
        _code.vcvtdq2ps(product, product);
        _code.vmovups(factor, __zmmword_ptr[Factors + (half * WeightPanel.VectorBytes)]);
        _code.vmulps(factor, factor, __dword_bcst[Scales]);
        _code.vfmadd231ps(Sum, product, factor);
    }

    private void AddMins()
    {
        for (var half = 0; half < Halves && _shape.Terms.HasMins; half++)
        {
            _code.vmovups(Temporary[1], __zmmword_ptr[Factors + ((_shape.Terms.Mins + half) * WeightPanel.VectorBytes)]);
            _code.vfmadd231ps(Sum, Temporary[1], __dword_bcst[half == 0 ? Terms : SecondTerms]);
        }
    }

    private void NextBlock()
    {
        _code.add(Factors, _shape.Terms.Vectors * WeightPanel.VectorBytes);
        _code.add(Values, ValuesStep);
        _code.add(Scales, ScalesStep);
        _code.add(Terms, ScalesStep);
        if (_shape.Terms.HasHalves)
            _code.add(SecondTerms, ScalesStep);
    }

    /// <summary>Four registers with four sums of each of four rows become one with a sum of each of sixteen.</summary>
    private void Fold(int first)
    {
        var (a, b, c, d) = (Products[first], Products[first + 1], Products[first + 2], Products[first + 3]);
        var (low, high) = (Temporary[0], Temporary[1]);
        _code.vpunpckldq(low, a, b);
        _code.vpunpckhdq(high, a, b);
        _code.vpaddd(a, low, high);
        _code.vpunpckldq(low, c, d);
        _code.vpunpckhdq(high, c, d);
        _code.vpaddd(c, low, high);
        _code.vpunpcklqdq(low, a, c);
        _code.vpunpckhqdq(high, a, c);
        _code.vpaddd(low, low, high);
    }

    /// <summary>Code for a tree; the register that has the result.</summary>
    /// <param name="node">The tree.</param>
    /// <param name="free">The first temporary register that may be used.</param>
    /// <param name="register">Which of the four registers of rows.</param>
    private AssemblerRegisterZMM Emit(RowBytesCode.Node node, int free, int register)
    {
        var target = Temporary[free];
        switch (node)
        {
            case RowBytesCode.Node.Load load:
                if (Array.IndexOf(_loaded, (load.Offset, register)) < 0)
                    Load(load.Offset, register);
                return Columns[Array.IndexOf(_loaded, (load.Offset, register))];
            case RowBytesCode.Node.Constant { Kind: RowBytesCode.NodeKind.And } and:
                _code.vpandd(target, Emit(and.Value, free, register), Constant(and.Bytes));
                return target;
            case RowBytesCode.Node.Constant xor:
                _code.vpxord(target, Emit(xor.Value, free, register), Constant(xor.Bytes));
                return target;
            case RowBytesCode.Node.Or or:
                var left = Emit(or.Left, free, register);
                // A column may make room for another one meanwhile.
                if (left != target)
                    _code.vmovdqa64(left = target, left);
                _code.vpord(target, left, Emit(or.Right, free + 1, register));
                return target;
            case RowBytesCode.Node.Shift { Bits: 0 } none:
                return Emit(none.Value, free, register);
            case RowBytesCode.Node.Shift { Bits: > 0 } shift:
                _code.vpslld(target, Emit(shift.Value, free, register), (byte)shift.Bits);
                return target;
            case RowBytesCode.Node.Shift shift:
                _code.vpsrld(target, Emit(shift.Value, free, register), (byte)-shift.Bits);
                return target;
            case RowBytesCode.Node.Shuffle { IsTable: true } lookup:
                var indices = Emit(lookup.Value, free, register);
                _code.vpshufb(target, Constant(lookup.Bytes), indices);
                return target;
            case RowBytesCode.Node.Shuffle shuffle:
                var bytes = Emit(shuffle.Value, free, register);
                _code.vpshufb(target, bytes, Constant(shuffle.Bytes));
                return target;
            case RowBytesCode.Node.Test test:
                var tested = Emit(test.Value, free, register);
                _code.vptestmb(k1, tested, Constant(test.Bit));
                _code.vpmovm2b(target, k1);
                return target;
            default:
                throw new NotSupportedException($"{node}");
        }
    }

    /// <summary>Sixteen bytes of each of four rows.</summary>
    private void Load(int offset, int register)
    {
        var place = TakeRoom();
        _code.vmovdqu(LowestColumns[place], __xmmword_ptr[Row(register, offset)]);
        for (var lane = 1; lane < 4; lane++)
            _code.vinserti32x4(Columns[place], Columns[place], __xmmword_ptr[Row((4 * lane) + register, offset)], (byte)lane);
        _loaded[place] = (offset, register);
    }

    /// <summary>The same, and the sixteen behind them.</summary>
    private void LoadPair(int offset, int register)
    {
        if (Array.IndexOf(_loaded, (offset, register)) >= 0)
            return;
        var place = TakeRoom();
        var (first, second) = (Columns[place], Columns[place + 1]);
        // The first column of two rows and their second one, from the lower and the upper halves of two registers.
        _code.vmovdqu(LowerColumns[place], __ymmword_ptr[Row(register, offset)]);
        _code.vinserti64x4(first, first, __ymmword_ptr[Row(4 + register, offset)], 1);
        _code.vmovdqu(ymm2, __ymmword_ptr[Row(8 + register, offset)]);
        _code.vinserti64x4(Spare, Spare, __ymmword_ptr[Row(12 + register, offset)], 1);
        _code.vshufi32x4(second, first, Spare, 0b11_01_11_01);
        _code.vshufi32x4(first, first, Spare, 0b10_00_10_00);
        (_loaded[place], _loaded[place + 1]) = ((offset, register), (offset + HalfBytes, register));
    }

    // The pair that has been there for longer makes room.
    private int TakeRoom()
    {
        var place = _older;
        _older = 2 - _older;
        (_loaded[place], _loaded[place + 1]) = (null, null);
        return place;
    }

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

    private AssemblerRegisterZMM Constant(UInt128 bytes)
    {
        var index = _constants.IndexOf(bytes);
        if (index < Constants.Length)
            return Constants[index];
        _code.vbroadcasti32x4(Spare, __xmmword_ptr[Pool + (index * 16)]);
        return Spare;
    }

    private static AssemblerMemoryOperand Row(int row, int offset) => (row % 4) switch
    {
        0 => __[Rows[row / 4] + offset],
        1 => __[Rows[row / 4] + Stride + offset],
        2 => __[Rows[row / 4] + (Stride * 2) + offset],
        _ => __[Rows[row / 4] + ThreeStrides + offset],
    };

    private static AssemblerMemoryOperand Field(string name) => __qword_ptr[Task + (int)Marshal.OffsetOf<OneTokenTask>(name)];
}
