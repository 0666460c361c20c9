using System.Runtime.InteropServices;

namespace Distributed.Core.Quantization;

/// <summary>
/// Blocks of 256 ternary values: 48 bytes of five and 4 bytes of four values each, then a half-precision scale. A byte is a fraction of
/// 256 whose digits in base 3, the first the highest, are the values plus 1; value k of byte i of a run of n bytes (32, 16, 4) lies at
/// k × n + i behind the run's first. Value = scale × (digit − 1).
/// </summary>
public static class TQ1_0
{
    /// <summary>Values per block.</summary>
    public const int BlockLength = 256;

    /// <summary>Bytes per block.</summary>
    public const int BlockBytes = 54;

    /// <summary>The row for <see cref="QuantTypes"/>.</summary>
    public static QuantType Type { get; } = new("TQ1_0", 34, BlockLength, BlockBytes, Dequantize);

    private static void Dequantize(ReadOnlySpan<byte> blocks, Span<float> values)
    {
        for (; blocks.Length >= BlockBytes; blocks = blocks[BlockBytes..], values = values[BlockLength..])
        {
            var scale = (float)MemoryMarshal.Read<Half>(blocks[52..]);
            Run(blocks[..32], 5, scale, values);
            Run(blocks[32..48], 5, scale, values[160..]);
            Run(blocks[48..52], 4, scale, values[240..]);
        }
    }

    private static void Run(ReadOnlySpan<byte> bytes, int digits, float scale, Span<float> values)
    {
        for (var i = 0; i < bytes.Length; i++)
        {
            var fraction = bytes[i];
            for (var k = 0; k < digits; k++)
            {
                values[(k * bytes.Length) + i] = scale * ((fraction * 3 >> 8) - 1);
                fraction *= 3;
            }
        }
    }
}
