using Distributed.Core;
using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>
/// Turns inputs into signed bytes as <see cref="Int8Layout"/> has them, alone or together with what comes before: the lanes of a warp
/// share 32 values, up to 32 of them, so that a warp's loads and stores lie side by side. Bytes do not depend on how many lanes there are.
/// </summary>
public static class QuantizeKernels
{
    private const int BlockLength = Int8MatVecKernels.BlockLength;

    /// <summary>Lanes that share 32 values: up to as many as there are, but none where two would exchange more than they save.</summary>
    public static int LanesOfBlock(int warpSize) => warpSize > 2 ? Math.Min(BlockLength, warpSize) : 1;

    /// <summary>Values as they are: lanes for each 32 of them.</summary>
    /// <param name="input">[tokens, columns]</param>
    /// <param name="output">Room for the layout.</param>
    /// <param name="layout">The layout.</param>
    [Kernel]
    public static void Quantize(ArrayView<float> input, ArrayView<byte> output, Int8Layout layout)
    {
        var block = BlockOf(layout);
        Write(input, Math.Min(block, layout.Blocks - 1), block < layout.Blocks, output, layout);
    }

    /// <summary>Activated values: gate = activation(gate) × up as <see cref="ElementwiseKernels.Activate"/> does it, and their bytes.</summary>
    /// <param name="activation">The function.</param>
    /// <param name="gate">[tokens, columns]</param>
    /// <param name="up">[tokens, columns]</param>
    /// <param name="hasUp">0 when there is none.</param>
    /// <param name="output">Room for the layout.</param>
    /// <param name="layout">The layout.</param>
    [Kernel]
    public static void ActivateAndQuantize(
        Activation activation, ArrayView<float> gate, ArrayView<float> up, int hasUp, ArrayView<byte> output, Int8Layout layout)
    {
        var (lanes, block) = (LanesOfBlock(Warp.WarpSize), BlockOf(layout));
        if (block < layout.Blocks)
        {
            // Each value is read again by the thread that writes it here.
            for (var i = Group.IdxX % lanes; i < BlockLength; i += lanes)
            {
                var at = (block * BlockLength) + i;
                gate[at] = ElementwiseKernels.Activated(activation, gate[at], up[at], hasUp);
            }
        }
        Write(gate, Math.Min(block, layout.Blocks - 1), block < layout.Blocks, output, layout);
    }

    /// <summary>Normed rows as <see cref="NormKernels.RmsNorm"/> has them, as bytes: a group for each row.</summary>
    /// <param name="input">[tokens, columns]</param>
    /// <param name="weight">[columns]</param>
    /// <param name="normed">[tokens, columns]: the values themselves; empty where nobody wants them.</param>
    /// <param name="output">Room for the layout.</param>
    /// <param name="layout">The layout.</param>
    /// <param name="eps">Added under the root.</param>
    [Kernel]
    public static void NormAndQuantize(
        ArrayView<float> input, ArrayView<float> weight, ArrayView<float> normed, ArrayView<byte> output, Int8Layout layout, float eps)
    {
        var shared = SharedMemory.Allocate<float>(WarpSum.MaxWarps);
        var start = (long)Grid.IdxX * layout.Columns;
        var scale = NormKernels.RmsScale(input, start, layout.Columns, eps, shared);
        var (lanes, blocks) = (LanesOfBlock(Warp.WarpSize), layout.Columns / BlockLength);
        for (var done = 0; done < blocks; done += Group.DimX / lanes)
        {
            // All lanes of a warp must be there when they exchange values.
            var mine = done + (Group.IdxX / lanes);
            var first = Math.Min(mine, blocks - 1) * BlockLength;
            var largest = 0f;
            for (var i = first + (Group.IdxX % lanes); i < first + BlockLength; i += lanes)
                largest = Math.Max(largest, Math.Abs(input[start + i] * scale * weight[i]));
            largest = WarpSum.LargestOfLanes(largest, lanes);
            var inverse = Inverse(largest);
            var sum = 0;
            for (var i = first + (Group.IdxX % lanes); i < first + BlockLength; i += lanes)
            {
                var value = input[start + i] * scale * weight[i];
                if (mine < blocks && normed.Length > 0)
                    normed[start + i] = value;
                sum += Put(output, start + i, value * inverse, mine < blocks);
            }
            sum = WarpSum.OfLanes(sum, lanes);
            if (mine < blocks && Group.IdxX % lanes == 0)
                PutFactors(output, layout, ((long)Grid.IdxX * blocks) + mine, largest, sum);
        }
    }

    private static long BlockOf(Int8Layout layout) => ((long)Grid.IdxX * (Group.DimX / LanesOfBlock(Warp.WarpSize))) + (Group.IdxX / LanesOfBlock(Warp.WarpSize));

    // All lanes of a warp must be here, also of a block that is not to be written.
    private static void Write(ArrayView<float> input, long block, bool isWanted, ArrayView<byte> output, Int8Layout layout)
    {
        var (lanes, first) = (LanesOfBlock(Warp.WarpSize), block * BlockLength);
        var largest = 0f;
        for (var i = Group.IdxX % lanes; i < BlockLength; i += lanes)
            largest = Math.Max(largest, Math.Abs(input[first + i]));
        largest = WarpSum.LargestOfLanes(largest, lanes);
        var inverse = Inverse(largest);
        var sum = 0;
        for (var i = Group.IdxX % lanes; i < BlockLength; i += lanes)
            sum += Put(output, first + i, input[first + i] * inverse, isWanted);
        sum = WarpSum.OfLanes(sum, lanes);
        if (isWanted && Group.IdxX % lanes == 0)
            PutFactors(output, layout, block, largest, sum);
    }

    // The reciprocal of the smallest magnitudes would be infinite; they vanish beside everything else.
    private static float Inverse(float largest) => largest < 1e-30f ? 0 : 127 / largest;

    private static int Put(ArrayView<byte> output, long at, float scaled, bool isWanted)
    {
        var number = DeviceMath.Round(scaled);
        if (isWanted)
            output[at] = (byte)number;
        return number;
    }

    private static void PutFactors(ArrayView<byte> output, Int8Layout layout, long block, float largest, int sum)
    {
        output.Cast<float>()[layout.Scales + block] = largest / 127;
        output.Cast<int>()[layout.Sums + block] = sum;
    }
}
