using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Assembles the product of a <see cref="FewTokensTask"/> of one token: the unpacked bytes are multiplied with <c>vpdpbusd</c> as they
/// lie, and folded to one sum for each row.
/// </summary>
internal sealed unsafe class OneTokenAssembler : RowBytesAssembler
{
    private static readonly AssemblerRegisterZMM[] Products =
    [
        zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13,
    ];

    private static readonly AssemblerRegisterZMM[] Held = [zmm14, zmm15];
    private static readonly AssemblerRegisterZMM Sum = zmm24;
    private static readonly AssemblerRegisterZMM[] Input = [zmm25, zmm26, zmm27, zmm28];

    private OneTokenAssembler(Shape shape)
        : base(shape)
    {
    }

    /// <inheritdoc cref="RowBytesAssembler.TryAssemble()"/>
    public static void* TryAssemble(Shape shape) => new OneTokenAssembler(shape).TryAssemble();

    // Neighbouring blocks of a unit often have their numbers in the same bytes: with halves a block and the second one behind it.
    protected override int BlocksAtOnce => Kind.UnitBlocks == 1 ? 1 : Kind.Terms.HasHalves ? 4 : 2;

    // Seventeen lines of sixteen rows are a third of the nearest cache. With half as many or twice as many each type is slower by a tenth
    // and more.
    protected override int AheadBytes => 17 * 64;

    protected override void LoadSums(AssemblerRegister64 sums) => Code.vmovups(Sum, __zmmword_ptr[sums]);

    protected override void StoreSums(AssemblerRegister64 sums) => Code.vmovups(__zmmword_ptr[sums], Sum);

    protected override void WriteBlocks(int unit, int block)
    {
        Multiply(unit, block, second: BlocksAtOnce / 2);
        AddBlock(0);
        if (BlocksAtOnce == 2)
            AddBlock(1);
        if (BlocksAtOnce < 4)
            return;
        // Blocks are added in their order.
        for (var half = 0; half < Halves; half++)
        {
            Fold(1, half);
            Code.vmovdqa64(Held[half], Temporary[0]);
        }

        Multiply(unit, block + 1, second: 2);
        AddBlock(0);
        for (var half = 0; half < Halves; half++)
            AddProduct(Held[half], half);
        AddMins();
        NextBlock();
        AddBlock(1);
    }

    /// <summary>The products of the block at hand and of one that many behind it; 0 for none.</summary>
    private void Multiply(int unit, int block, int second)
    {
        for (var half = 0; half < 2; half++)
        {
            Code.vbroadcasti32x4(Input[half], __xmmword_ptr[Values + (half * 16)]);
            if (second > 0)
                Code.vbroadcasti32x4(Input[2 + half], __xmmword_ptr[Values + (ValuesStep * second) + (half * 16)]);
        }

        for (var register = 0; register < 4; register++)
            for (var half = 0; half < 2; half++)
                for (var which = 0; which <= Math.Min(second, 1); which++)
                {
                    var product = Product(which, half % Halves, register);
                    if (half < Halves)
                        Code.vpxord(product, product, product);
                    Code.vpdpbusd(product, Unpack(unit, block + (which * second), half, register, Temporary[0]), Input[(2 * which) + half]);
                }
    }

    private AssemblerRegisterZMM Product(int which, int half, int register) => Products[(((which * Halves) + half) * 4) + register];

    private void AddBlock(int which)
    {
        for (var half = 0; half < Halves; half++)
        {
            Fold(which, half);
            AddProduct(Temporary[0], half);
        }

        AddMins();
        NextBlock();
    }

    private void AddProduct(AssemblerRegisterZMM product, int half)
    {
        var factor = Temporary[1];
        if (!Kind.Terms.HasMins)
            Code.vpaddd(product, product, __dword_bcst[half == 0 ? Terms : SecondTerms]);
        Code.vcvtdq2ps(product, product);
        Code.vmovups(factor, __zmmword_ptr[Factors + (half * WeightPanel.VectorBytes)]);
        Code.vmulps(factor, factor, __dword_bcst[Scales]);
        Code.vfmadd231ps(Sum, product, factor);
    }

    private void AddMins()
    {
        for (var half = 0; half < Halves && Kind.Terms.HasMins; half++)
        {
            Code.vmovups(Temporary[1], __zmmword_ptr[Factors + ((Kind.Terms.Mins + half) * WeightPanel.VectorBytes)]);
            Code.vfmadd231ps(Sum, Temporary[1], __dword_bcst[half == 0 ? Terms : SecondTerms]);
        }
    }

    /// <summary>Four registers with four sums of each of four rows become one with a sum of each of sixteen: the first temporary one.</summary>
    private void Fold(int which, int half)
    {
        var (a, b, c, d) = (Product(which, half, 0), Product(which, half, 1), Product(which, half, 2), Product(which, half, 3));
        var (low, high) = (Temporary[0], Temporary[1]);
        Code.vpunpckldq(low, a, b);
        Code.vpunpckhdq(high, a, b);
        Code.vpaddd(a, low, high);
        Code.vpunpckldq(low, c, d);
        Code.vpunpckhdq(high, c, d);
        Code.vpaddd(c, low, high);
        Code.vpunpcklqdq(low, a, c);
        Code.vpunpckhqdq(high, a, c);
        Code.vpaddd(low, low, high);
    }
}
