using System.Runtime.InteropServices;
using Distributed.Core.Quantization;
using Distributed.Core.Safetensors;

namespace Distributed.Core.HuggingFace;

/// <summary>
/// The experts of gpt-oss, whose files hold them in two ways no kernel reads: as floats with columns for rows, or as MXFP4 with
/// scales apart from values. In both, gate and other half alternate. They are rearranged into memory, expert by expert, on first use.
/// </summary>
internal static unsafe class GptOssExperts
{
    /// <summary>A tensor of experts; null for any other.</summary>
    public static Tensor? Find(TensorSpec spec, int layer, HuggingFaceTensors files)
    {
        var (config, experts) = (files.Config, files.Config.Experts!);
        var prefix = $"model.layers.{layer}.mlp.experts";
        var name = spec.NameIn(layer);
        return spec.Name switch
        {
            "ffn_gate_exps.weight" => Matrices($"{prefix}.gate_up_proj", config.HiddenSize, experts.IntermediateSize, 0, 2),
            "ffn_up_exps.weight" => Matrices($"{prefix}.gate_up_proj", config.HiddenSize, experts.IntermediateSize, 1, 2),
            "ffn_down_exps.weight" => Matrices($"{prefix}.down_proj", experts.IntermediateSize, config.HiddenSize, 0, 1),
            "ffn_gate_exps.bias" => Biases($"{prefix}.gate_up_proj_bias", experts.IntermediateSize, 0, 2),
            "ffn_up_exps.bias" => Biases($"{prefix}.gate_up_proj_bias", experts.IntermediateSize, 1, 2),
            "ffn_down_exps.bias" => Biases($"{prefix}.down_proj_bias", config.HiddenSize, 0, 1),
            _ => null,
        };

        // Row r of ours is row first + step × r of theirs.
        Tensor? Matrices(string stored, long columns, long rows, int first, int step)
        {
            var perRow = columns / MXFP4.BlockLength;
            if (files.Has($"{stored}_blocks") && columns % MXFP4.BlockLength == 0)
            {
                var blocks = files.Take($"{stored}_blocks", [experts.Count, rows * step, perRow, MXFP4.BlockLength / 2], "U8");
                var scales = files.Take($"{stored}_scales", [experts.Count, rows * step, perRow], "U8");
                return blocks is null || scales is null ? null : Each(MXFP4.Type, columns, rows, [blocks.Range, scales.Range], (expert, bytes) =>
                {
                    for (var row = 0L; row < rows; row++, bytes = bytes[(int)(perRow * MXFP4.BlockBytes)..])
                        FillBlocks(blocks, scales, ((((expert * rows) + row) * step) + first) * perRow, perRow, bytes);
                });
            }

            if (files.Take(stored, [experts.Count, columns, rows * step], SafetensorsTensor.WeightTypes) is not { } tensor)
                return null;
            var type = tensor.Type;
            return Each(type, columns, rows, [tensor.Range], (expert, bytes) =>
            {
                var size = type.BlockBytes;
                var matrix = tensor.Data + (expert * columns * rows * step * size);
                for (var row = 0L; row < rows; row++)
                    for (var column = 0L; column < columns; column++)
                        new ReadOnlySpan<byte>(matrix + (((column * rows * step) + (row * step) + first) * size), size)
                            .CopyTo(bytes.Slice((int)(((row * columns) + column) * size)));
            });
        }

        Tensor Each(QuantType type, long columns, long rows, IReadOnlyList<FileRange> madeOf, FillExpert fill) => Tensor.Stack(
            name, [.. Enumerable.Range(0, experts.Count).Select(
                expert => Tensor.Made(name, type, [columns, rows], bytes => fill(expert, bytes), madeOf))]);

        Tensor? Biases(string stored, int rows, int first, int step)
        {
            if (files.Take(stored, [experts.Count, rows * step], SafetensorsTensor.WeightTypes) is not { } tensor)
                return null;
            return Tensor.Made(name, F32.Type, [rows, experts.Count], bytes =>
            {
                var values = new float[experts.Count * rows * step];
                tensor.ReadFloats(values);
                var target = MemoryMarshal.Cast<byte, float>(bytes);
                for (var i = 0; i < target.Length; i++)
                    target[i] = values[(i * step) + first];
            }, [tensor.Range]);
        }
    }

    private delegate void FillExpert(long expert, Span<byte> bytes);

    /// <summary>A row of blocks from the <paramref name="first"/> on. Theirs have neighbours in a byte, ours values half a block apart.</summary>
    private static void FillBlocks(SafetensorsTensor blocks, SafetensorsTensor scales, long first, long count, Span<byte> target)
    {
        const int Half = MXFP4.BlockLength / 2;
        for (var block = first; block < first + count; block++, target = target[MXFP4.BlockBytes..])
        {
            var values = blocks.Data + (block * Half);
            target[0] = scales.Data[block];
            for (var i = 0; i < Half; i++)
                target[1 + i] = (byte)(Nibble(values, i) | (Nibble(values, i + Half) << 4));
        }
    }

    private static int Nibble(byte* values, int index) => (values[index / 2] >> (index % 2 * 4)) & 0xF;
}
