using System.Runtime.CompilerServices;
using Distributed.Core.Quantization;

namespace Distributed.Cpu.Kernels;

/// <summary>IQ4_XS in products with bytes: levels raised by 128.</summary>
internal readonly unsafe struct IQ4_XSWeights : IInt8Weights
{
    private const int Numbers = 8;

    public static QuantType Type => IQ4_XS.Type;

    public static bool FactorsAreHalves => false;

    public static InputTerms Terms => new(Offset: 128);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack<T>(byte* unit, long stride, WeightPanel panel)
        where T : struct, IByteLanes<T>
    {
        var upper = T.LoadFirst(unit, stride);
        var lower = T.LoadFirst(unit + 4, stride);
        T.StoreLowHalves(upper, panel.Scratch);
        // Two bits each in the upper half of the first four bytes, above four each of the second four.
        upper >>= 16;
        for (var group = 0; group < 8; group++, upper >>= 2, lower >>= 4)
        {
            var block = panel.From(group, Terms);
            T.StoreScales((lower & T.Create(15)) | ((upper & T.Create(3)) << 4), 0, 32, panel.Scratch, block.Factors);
            Nibbles.UnpackLevels<T>(unit + Numbers + (16 * group), stride, IQ4_NLWeights.Levels, block.Numbers);
        }
    }
}
