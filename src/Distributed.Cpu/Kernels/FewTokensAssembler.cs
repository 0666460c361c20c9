using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Assembles the product of a <see cref="FewTokensTask"/> of some tokens: the unpacked bytes of a block are turned so that each register
/// has four columns of all sixteen rows, and stay while its tokens pass by. The sums stay in registers while the blocks do.
/// </summary>
internal sealed unsafe class FewTokensAssembler : RowBytesAssembler
{
    /// <summary>The most tokens there are registers for.</summary>
    public const int MostTokens = 8;

    private const int Quads = WeightPanel.BlockColumns / 4;

    private static readonly AssemblerRegisterZMM[] Sums = [zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13];
    private static readonly AssemblerRegisterZMM WeightFactor = zmm14;
    private static readonly AssemblerRegisterZMM Factor = zmm15;
    private static readonly AssemblerRegisterZMM[] Numbers = [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23];
    private static readonly AssemblerRegisterZMM[] Products = [zmm25, zmm26, zmm27, zmm28];

    private readonly int _tokens;

    private FewTokensAssembler(Shape shape, int tokens)
        : base(shape) => _tokens = tokens;

    /// <summary>The code for some tokens at once, from 2 to <see cref="MostTokens"/>.</summary>
    /// <inheritdoc cref="RowBytesAssembler.TryAssemble()"/>
    public static void* TryAssemble(Shape shape, int tokens) => new FewTokensAssembler(shape, tokens).TryAssemble();

    protected override void LoadSums(AssemblerRegister64 sums)
    {
        for (var token = 0; token < _tokens; token++)
            Code.vmovups(Sums[token], __zmmword_ptr[sums + (token * WeightPanel.VectorBytes)]);
    }

    protected override void StoreSums(AssemblerRegister64 sums)
    {
        for (var token = 0; token < _tokens; token++)
            Code.vmovups(__zmmword_ptr[sums + (token * WeightPanel.VectorBytes)], Sums[token]);
    }

    protected override void WriteBlocks(int unit, int block)
    {
        for (var register = 0; register < 4; register++)
            for (var half = 0; half < 2; half++)
            {
                var number = Numbers[(4 * half) + register];
                var unpacked = Unpack(unit, block, half, register, number);
                if (unpacked != number)
                    Code.vmovdqa64(number, unpacked);
            }

        Turn(0);
        Turn(4);
        var most = Products.Length / Halves;
        for (var token = 0; token < _tokens; token += most)
            Multiply(token, Math.Min(most, _tokens - token));
        AddMins();
        NextBlock();
    }

    /// <summary>Four registers with four times four columns of four rows become four with four columns of sixteen.</summary>
    private void Turn(int first)
    {
        var (a, b, c, d) = (Numbers[first], Numbers[first + 1], Numbers[first + 2], Numbers[first + 3]);
        var (low, high) = (Temporary[0], Temporary[1]);
        Code.vpunpckldq(low, a, b);
        Code.vpunpckhdq(high, a, b);
        Code.vpunpckldq(a, c, d);
        Code.vpunpckhdq(c, c, d);
        Code.vpunpckhqdq(b, low, a);
        Code.vpunpcklqdq(a, low, a);
        Code.vpunpckhqdq(d, high, c);
        Code.vpunpcklqdq(c, high, c);
    }

    private void Multiply(int first, int tokens)
    {
        for (var half = 0; half < Halves; half++)
            for (var token = 0; token < tokens; token++)
                StartProduct(Products[(half * tokens) + token], half, first + token);
        for (var quad = 0; quad < Quads / Halves; quad++)
            for (var half = 0; half < Halves; half++)
                for (var token = 0; token < tokens; token++)
                {
                    var number = (half * Quads / Halves) + quad;
                    var value = __dword_bcst[Values + ((first + token) * WeightPanel.BlockColumns) + (number * sizeof(int))];
                    Code.vpdpbusd(Products[(half * tokens) + token], Numbers[number], value);
                }

        for (var half = 0; half < Halves; half++)
        {
            if (first == 0 || Halves > 1)
                Code.vmovups(WeightFactor, __zmmword_ptr[Factors + (half * WeightPanel.VectorBytes)]);
            for (var token = 0; token < tokens; token++)
            {
                var product = Products[(half * tokens) + token];
                Code.vmulps(Factor, WeightFactor, __dword_bcst[Scales + ((first + token) * sizeof(float))]);
                Code.vcvtdq2ps(product, product);
                Code.vfmadd231ps(Sums[first + token], product, Factor);
            }
        }
    }

    /// <summary>A product begins with its term where that is an integer, with 0 where it is not.</summary>
    private void StartProduct(AssemblerRegisterZMM product, int half, int token)
    {
        if (Kind.Terms.HasMins)
            Code.vpxord(product, product, product);
        else
            Code.vpbroadcastd(product, __dword_ptr[(half == 0 ? Terms : SecondTerms) + (token * sizeof(int))]);
    }

    private void AddMins()
    {
        for (var half = 0; half < Halves && Kind.Terms.HasMins; half++)
        {
            Code.vmovups(WeightFactor, __zmmword_ptr[Factors + ((Kind.Terms.Mins + half) * WeightPanel.VectorBytes)]);
            for (var token = 0; token < _tokens; token++)
                Code.vfmadd231ps(Sums[token], WeightFactor, __dword_bcst[(half == 0 ? Terms : SecondTerms) + (token * sizeof(float))]);
        }
    }
}
