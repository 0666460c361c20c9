using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Assembles the product of a <see cref="FewTokensTask"/> of one token: the unpacked bytes are multiplied with <c>vpdpbusd</c> as they
/// lie, and folded to one sum for each row. Registers that Windows wants back are left alone.
/// </summary>
internal sealed unsafe class OneTokenAssembler : RowBytesAssembler
{
    private static readonly AssemblerRegisterZMM[] Products = [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23];
    private static readonly AssemblerRegisterZMM Sum = zmm24;
    private static readonly AssemblerRegisterZMM[] Input = [zmm25, zmm26, zmm27, zmm28];

    private OneTokenAssembler(Shape shape)
        : base(shape)
    {
    }

    /// <inheritdoc cref="RowBytesAssembler.TryAssemble()"/>
    public static void* TryAssemble(Shape shape) => new OneTokenAssembler(shape).TryAssemble();

    // Two neighbouring blocks of a unit often have their numbers in the same bytes.
    protected override int BlocksAtOnce => Kind.UnitBlocks > 1 && !Kind.Terms.HasHalves ? 2 : 1;

    protected override void LoadSums(AssemblerRegister64 sums) => Code.vmovups(Sum, __zmmword_ptr[sums]);

    protected override void StoreSums(AssemblerRegister64 sums) => Code.vmovups(__zmmword_ptr[sums], Sum);

    protected override void WriteBlocks(int unit, int block)
    {
        for (var half = 0; half < 2; half++)
        {
            Code.vbroadcasti32x4(Input[half], __xmmword_ptr[Values + (half * 16)]);
            if (BlocksAtOnce == 2)
                Code.vbroadcasti32x4(Input[2 + half], __xmmword_ptr[Values + ValuesStep + (half * 16)]);
        }

        for (var register = 0; register < 4; register++)
            for (var half = 0; half < 2; half++)
                for (var which = 0; which < BlocksAtOnce; which++)
                {
                    var product = Products[register + (4 * (Kind.Terms.HasHalves ? half : which))];
                    if (half == 0 || Kind.Terms.HasHalves)
                        Code.vpxord(product, product, product);
                    Code.vpdpbusd(product, Unpack(unit, block + which, half, register, Temporary[0]), Input[(2 * which) + half]);
                }

        for (var which = 0; which < BlocksAtOnce; which++)
        {
            for (var half = 0; half < Halves; half++)
                AddProduct(4 * (half + which), half);
            AddMins();
            NextBlock();
        }
    }

    private void AddProduct(int first, int half)
    {
        Fold(first);
        var (product, factor) = (Temporary[0], Temporary[1]);
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

    /// <summary>Four registers with four sums of each of four rows become one with a sum of each of sixteen.</summary>
    private void Fold(int first)
    {
        var (a, b, c, d) = (Products[first], Products[first + 1], Products[first + 2], Products[first + 3]);
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
