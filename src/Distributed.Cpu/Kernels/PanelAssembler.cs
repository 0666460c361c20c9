using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Assembles the product of a <see cref="PanelTask"/>. The eight registers of a block's numbers stay while its tokens pass by, eight
/// at a time (with halves four, each in two chains), so that eight chains of <c>vpdpbusd</c> hide each other's latency; what remains
/// of the tokens goes by smaller powers of two. Registers that a caller may want to keep, on any system, are left alone.
/// </summary>
internal sealed unsafe class PanelAssembler
{
    private const int CodeBytes = 1 << 14;

    // All but the first point at what belongs to the token at hand; Tokens and Sums also serve between blocks.
    private static readonly AssemblerRegister64 Task = rax;
    private static readonly AssemblerRegister64 Tokens = rcx;
    private static readonly AssemblerRegister64 Sums = rdx;
    private static readonly AssemblerRegister64 Values = r8;
    private static readonly AssemblerRegister64 Scales = r9;
    private static readonly AssemblerRegister64 Terms = r10;
    private static readonly AssemblerRegister64 SecondTerms = r11;

    // Windows wants xmm6 to xmm15 back.
    private static readonly AssemblerRegisterZMM[] Products = [zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm28, zmm29];
    private static readonly AssemblerRegisterZMM[] Factors = [zmm30, zmm31];
    private static readonly AssemblerRegisterZMM[] Numbers = [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23];
    private static readonly AssemblerRegisterZMM[] WeightScales = [zmm24, zmm25];
    private static readonly AssemblerRegisterZMM[] WeightMins = [zmm26, zmm27];

    private readonly Assembler _code = new(64);
    private readonly InputTerms _terms;

    private PanelAssembler(InputTerms terms) => _terms = terms;

    private int Halves => _terms.HasHalves ? 2 : 1;

    /// <summary>The code for weights of a kind, a function of a <see cref="PanelTask"/>*; null where the system refuses executable memory.</summary>
    public static void* TryAssemble(InputTerms terms)
    {
        var assembler = new PanelAssembler(terms);
        assembler.Write();
        return ExecutableMemory.TryCreate(CodeBytes, assembler._code);
    }

    private void Write()
    {
        _code.mov(Task, OperatingSystem.IsWindows() ? rcx : rdi);
        var oneToken = _code.CreateLabel();
        _code.cmp(Field(nameof(PanelTask.Tokens)), 1);
        _code.je(oneToken);
        WriteManyTokens();
        _code.Label(ref oneToken);
        WriteOneToken();
    }

    /// <summary>A token alone: its sums stay in a register while the blocks pass by.</summary>
    private void WriteOneToken()
    {
        var (numbers, factors) = (Tokens, Sums);
        var sum = WeightMins[1];
        var nextBlock = _code.CreateLabel();
        _code.mov(Values, Field(nameof(PanelTask.Sums)));
        _code.vmovups(sum, __zmmword_ptr[Values]);
        _code.mov(Values, Field(nameof(PanelTask.Values)));
        _code.mov(Scales, Field(nameof(PanelTask.Scales)));
        _code.mov(Terms, Field(nameof(PanelTask.Terms)));
        _code.mov(SecondTerms, Field(nameof(PanelTask.SecondTerms)));
        _code.mov(numbers, Field(nameof(PanelTask.Numbers)));
        _code.mov(factors, Field(nameof(PanelTask.Factors)));
        _code.Label(ref nextBlock);
        // Four chains, two for each half, are added up in the end: integers may be added in any order.
        for (var half = 0; half < 2; half++)
        {
            StartProduct(Products[half], half == 0 || _terms.HasHalves ? half : null, 0);
            StartProduct(Products[2 + half], null, 0);
        }
        for (var quad = 0; quad < Numbers.Length; quad++)
        {
            var product = Products[(quad * 2 / Numbers.Length) + (quad % 2 * 2)];
            _code.vmovups(Numbers[quad], __zmmword_ptr[numbers + (quad * WeightPanel.ColumnBytes)]);
            _code.vpdpbusd(product, Numbers[quad], __dword_bcst[Values + (quad * sizeof(int))]);
        }
        _code.vpaddd(Products[0], Products[0], Products[2]);
        _code.vpaddd(Products[1], Products[1], Products[3]);
        if (!_terms.HasHalves)
            _code.vpaddd(Products[0], Products[0], Products[1]);
        _code.vbroadcastss(Factors[1], __dword_ptr[Scales]);
        for (var half = 0; half < Halves; half++)
        {
            _code.vcvtdq2ps(Products[half], Products[half]);
            _code.vmulps(Factors[0], Factors[1], __zmmword_ptr[factors + (half * WeightPanel.VectorBytes)]);
            _code.vfmadd231ps(sum, Products[half], Factors[0]);
        }
        for (var half = 0; half < Halves && _terms.HasMins; half++)
        {
            _code.vbroadcastss(Factors[1], __dword_ptr[half == 0 ? Terms : SecondTerms]);
            _code.vfmadd231ps(sum, Factors[1], __zmmword_ptr[factors + ((_terms.Mins + half) * WeightPanel.VectorBytes)]);
        }
        _code.add(numbers, WeightPanel.BlockBytes);
        _code.add(factors, _terms.Vectors * WeightPanel.VectorBytes);
        _code.add(Values, Field(nameof(PanelTask.ValuesStep)));
        _code.add(Scales, Field(nameof(PanelTask.ScalesStep)));
        _code.add(Terms, Field(nameof(PanelTask.ScalesStep)));
        _code.add(SecondTerms, Field(nameof(PanelTask.ScalesStep)));
        _code.dec(Field(nameof(PanelTask.Blocks)));
        _code.jnz(nextBlock);
        _code.mov(Values, Field(nameof(PanelTask.Sums)));
        _code.vmovups(__zmmword_ptr[Values], sum);
        _code.vzeroupper();
        _code.ret();
    }

    private void WriteManyTokens()
    {
        var nextBlock = _code.CreateLabel();
        _code.Label(ref nextBlock);
        LoadBlock();
        // A step takes a power of two of tokens; the halves keep two chains for each.
        var most = Products.Length / Halves;
        RepeatTokens(most);
        for (var tokens = most / 2; tokens > 0; tokens /= 2)
            OnceTokens(tokens);
        NextBlock();
        _code.jnz(nextBlock);
        _code.vzeroupper();
        _code.ret();
    }

    private void LoadBlock()
    {
        var (numbers, factors) = (Tokens, Sums);
        _code.mov(Values, Field(nameof(PanelTask.Values)));
        _code.mov(Scales, Field(nameof(PanelTask.Scales)));
        _code.mov(Terms, Field(nameof(PanelTask.Terms)));
        _code.mov(SecondTerms, Field(nameof(PanelTask.SecondTerms)));
        _code.mov(numbers, Field(nameof(PanelTask.Numbers)));
        _code.mov(factors, Field(nameof(PanelTask.Factors)));
        for (var i = 0; i < Numbers.Length; i++)
            _code.vmovups(Numbers[i], __zmmword_ptr[numbers + (i * WeightPanel.ColumnBytes)]);
        for (var half = 0; half < Halves; half++)
        {
            _code.vmovups(WeightScales[half], __zmmword_ptr[factors + (half * WeightPanel.VectorBytes)]);
            if (_terms.HasMins)
                _code.vmovups(WeightMins[half], __zmmword_ptr[factors + ((_terms.Mins + half) * WeightPanel.VectorBytes)]);
        }
        _code.add(Field(nameof(PanelTask.Numbers)), WeightPanel.BlockBytes);
        _code.add(Field(nameof(PanelTask.Factors)), _terms.Vectors * WeightPanel.VectorBytes);
        _code.mov(Sums, Field(nameof(PanelTask.Sums)));
        _code.mov(Tokens, Field(nameof(PanelTask.Tokens)));
    }

    private void NextBlock()
    {
        var step = Tokens;
        _code.mov(step, Field(nameof(PanelTask.ValuesStep)));
        _code.add(Field(nameof(PanelTask.Values)), step);
        _code.mov(step, Field(nameof(PanelTask.ScalesStep)));
        _code.add(Field(nameof(PanelTask.Scales)), step);
        _code.add(Field(nameof(PanelTask.Terms)), step);
        _code.add(Field(nameof(PanelTask.SecondTerms)), step);
        _code.dec(Field(nameof(PanelTask.Blocks)));
    }

    private void RepeatTokens(int tokens)
    {
        var (loop, end) = (_code.CreateLabel(), _code.CreateLabel());
        _code.cmp(Tokens, tokens);
        _code.jb(end);
        _code.Label(ref loop);
        Multiply(tokens);
        _code.sub(Tokens, tokens);
        _code.cmp(Tokens, tokens);
        _code.jae(loop);
        _code.Label(ref end);
    }

    private void OnceTokens(int tokens)
    {
        var end = _code.CreateLabel();
        _code.test(Tokens, tokens);
        _code.jz(end);
        Multiply(tokens);
        _code.Label(ref end);
    }

    private void Multiply(int tokens)
    {
        for (var half = 0; half < Halves; half++)
            for (var token = 0; token < tokens; token++)
                StartProduct(Product(half, token, tokens), half, token);
        var quads = Numbers.Length / Halves;
        for (var quad = 0; quad < quads; quad++)
            for (var half = 0; half < Halves; half++)
                for (var token = 0; token < tokens; token++)
                {
                    var number = (half * quads) + quad;
                    var value = __dword_bcst[Values + (token * WeightPanel.BlockColumns) + (number * sizeof(int))];
                    _code.vpdpbusd(Product(half, token, tokens), Numbers[number], value);
                }
        for (var token = 0; token < tokens; token++)
            AddToSums(token, tokens);
        _code.add(Values, tokens * WeightPanel.BlockColumns);
        _code.add(Scales, tokens * sizeof(float));
        _code.add(Terms, tokens * sizeof(int));
        _code.add(SecondTerms, tokens * sizeof(int));
        _code.add(Sums, tokens * WeightPanel.VectorBytes);
    }

    /// <summary>A product begins with its term where that is an integer; with 0 where it is not, and without a half.</summary>
    private void StartProduct(AssemblerRegisterZMM product, int? half, int token)
    {
        if (_terms.HasMins || half is null)
            _code.vpxord(product, product, product);
        else
            _code.vpbroadcastd(product, __dword_ptr[(half == 0 ? Terms : SecondTerms) + (token * sizeof(int))]);
    }

    private void AddToSums(int token, int tokens)
    {
        var sum = __zmmword_ptr[Sums + (token * WeightPanel.VectorBytes)];
        var product = Product(0, token, tokens);
        for (var half = 0; half < Halves; half++)
        {
            _code.vmulps(Factors[half], WeightScales[half], __dword_bcst[Scales + (token * sizeof(float))]);
            _code.vcvtdq2ps(Product(half, token, tokens), Product(half, token, tokens));
        }
        _code.vfmadd213ps(product, Factors[0], sum);
        if (_terms.HasHalves)
            _code.vfmadd231ps(product, Product(1, token, tokens), Factors[1]);
        if (_terms.HasMins)
        {
            _code.vfmadd231ps(product, WeightMins[0], __dword_bcst[Terms + (token * sizeof(float))]);
            if (_terms.HasHalves)
                _code.vfmadd231ps(product, WeightMins[1], __dword_bcst[SecondTerms + (token * sizeof(float))]);
        }
        _code.vmovups(sum, product);
    }

    private static AssemblerRegisterZMM Product(int half, int token, int tokens) => Products[(half * tokens) + token];

    private static AssemblerMemoryOperand Field(string name) =>
        __qword_ptr[Task + (int)Marshal.OffsetOf<PanelTask>(name)];
}
