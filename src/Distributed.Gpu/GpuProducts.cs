using Distributed.Core;
using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu;

/// <summary>
/// The products of weights and inputs, and what is done in one launch with what stands before them. Where weights are multiplied as
/// bytes, inputs are made bytes by the norm or the activation that they come from.
/// </summary>
public sealed partial class GpuBackend
{
    // With fewer, a tile would be mostly empty.
    private const int FewTokens = 8;

    // The most matrices that share a launch.
    private const int MostMatrices = 3;

    private bool _hasInt8;

    // What lies in the scratch as bytes, and how many of its rows; null when nothing that could be asked for again does.
    private Activations? _quantized;
    private int _quantizedRows;

    /// <inheritdoc/>
    public override void NormMatMul(
        Activations input, int rows, Norm? norm, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs)
    {
        if (rows == 0)
            return;
        var bytes = norm is null ? Quantized(input, rows) : null;
        var values = View(input);
        if (norm is { IsCentred: false } && CountInt8(weights) is > 0 and var count)
        {
            var layout = new Int8Layout(rows, input.Columns);
            var scratch = Scratch(rows, input.Columns);
            var normed = count == weights.Length ? scratch.SubView(0, 0) : scratch;
            bytes = BytesIn(layout);
            _kernels.NormAndQuantize(
                _stream, new KernelConfig(rows, _device.WideGroupThreads), values, Floats(norm.Weight), normed, bytes.Value, layout, norm.Eps);
            values = normed;
        }
        else if (norm is not null)
        {
            values = Scratch(rows, input.Columns);
            Normalize(View(input), rows, input.Columns, input.Columns, norm, values);
        }

        for (var i = 0; i < weights.Length;)
        {
            var together = rows == 1 ? AlikeFrom(weights, i) : 1;
            if (together > 1)
                MultiplySeveral(values, weights.Slice(i, together), outputs.Slice(i, together), ref bytes);
            else
                Multiply(values, rows, (GpuWeight)weights[i], View(outputs[i]), add: false, ref bytes);
            i += together;
        }
    }

    /// <inheritdoc/>
    public override void MatMulAdd(Activations input, int rows, Weight weight, Activations residual)
    {
        if (rows == 0)
            return;
        var bytes = Quantized(input, rows);
        Multiply(View(input), rows, (GpuWeight)weight, View(residual), add: true, ref bytes);
    }

    /// <inheritdoc/>
    public override void Activate(Activation activation, Activations gate, Activations? up, int rows)
    {
        var hasUp = up is null ? 0 : 1;
        var layout = new Int8Layout(rows, gate.Columns);
        if (!_hasInt8 || rows == 0 || gate.Columns % Int8MatVecKernels.RowMultiple != 0
            || StageBuffers.ScratchBytes(rows, gate.Columns) > _scratch.Length)
        {
            _kernels.Activate(_stream, Values(gate, rows), activation, View(gate), View(up ?? gate), hasUp);
            return;
        }

        Values(gate, rows);
        _kernels.ActivateAndQuantize(_stream, BlockGroups(layout), activation, View(gate), View(up ?? gate), hasUp, BytesIn(layout), layout);
        (_quantized, _quantizedRows) = (gate, rows);
    }

    // The bytes of an input, when they are there already.
    private ArrayView<byte>? Quantized(Activations input, int rows) => ReferenceEquals(input, _quantized) && rows == _quantizedRows
        ? Behind(new Int8Layout(rows, input.Columns))
        : null;

    private static int CountInt8(ReadOnlySpan<Weight> weights)
    {
        var count = 0;
        foreach (var weight in weights)
            count += ((GpuWeight)weight).Int8 is null ? 0 : 1;
        return count;
    }

    // How many matrices from one on have its kernels.
    private static int AlikeFrom(ReadOnlySpan<Weight> weights, int first)
    {
        if (((GpuWeight)weights[first]).Int8 is not { } int8)
            return 1;
        var end = first + 1;
        while (end < weights.Length && end - first < MostMatrices && ReferenceEquals(((GpuWeight)weights[end]).Int8, int8))
            end++;
        return end - first;
    }

    private void MultiplySeveral(
        ArrayView<float> input, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs, ref ArrayView<byte>? bytes)
    {
        var (first, second, third) = ((GpuWeight)weights[0], (GpuWeight)weights[1], (GpuWeight)weights[^1]);
        var layout = new Int8Layout(1, first.Columns);
        bytes ??= Quantize(input, layout);
        var matrices = new Int8Matrices(
            first.Bytes, View(outputs[0]), first.Rows, second.Bytes, View(outputs[1]), second.Rows, third.Bytes, View(outputs[^1]),
            weights.Length > 2 ? third.Rows : 0);
        var groups = GroupsOf(first.Rows) + GroupsOf(second.Rows) + GroupsOf(matrices.ThirdRows);
        first.Int8!.Several(_stream, new KernelConfig(groups, _device.GroupThreads), matrices, bytes.Value, layout, first.Columns);
    }

    /// <param name="input">[tokens, columns]; may be empty where there are bytes.</param>
    /// <param name="tokens">Inputs.</param>
    /// <param name="weight">The matrix.</param>
    /// <param name="output">[tokens, rows]</param>
    /// <param name="add">Adds to the output.</param>
    /// <param name="bytes">The input as bytes; made when it is first needed.</param>
    private void Multiply(
        ArrayView<float> input, int tokens, GpuWeight weight, ArrayView<float> output, bool add, ref ArrayView<byte>? bytes)
    {
        var shape = new MatVecShape(weight.Rows, weight.Columns, tokens, InputDivisor: 1, add ? 1 : 0);
        var none = _tokens.View.SubView(0, 0);
        if (weight.Int8 is { } int8)
        {
            var layout = new Int8Layout(tokens, weight.Columns);
            bytes ??= Quantize(input, layout);
            if (tokens == 1)
                int8.One(_stream, Int8Groups(weight.Rows, 1), weight.Bytes, bytes.Value, layout, none, output, shape);
            else if (tokens < FewTokens)
                int8.Four(_stream, Int8Groups(weight.Rows, Tiles(tokens)), weight.Bytes, bytes.Value, layout, output, shape);
            else
                MultiplyTiles(int8, weight, bytes.Value, layout, (tokens + _device.TileTokens - 1) / _device.TileTokens, none, none, output, shape);
        }
        else if (tokens == 1)
        {
            weight.Kernels.One(_stream, RowGroups(weight.Rows, 1), weight.Bytes, _device.Tables, input, none, output, shape);
        }
        else
        {
            weight.Kernels.Four(_stream, RowGroups(weight.Rows, Tiles(tokens)), weight.Bytes, _device.Tables, input, output, shape);
        }
    }

    private void MultiplyTiles(
        Int8Kernels int8, GpuWeight weight, ArrayView<byte> bytes, Int8Layout layout, int tiles, ArrayView<int> tileChoices,
        ArrayView<int> order, ArrayView<float> output, MatVecShape shape)
    {
        var config = _device.IsTensor
            ? new KernelConfig(
                checked((shape.Rows + Int8TensorKernels.TileRows - 1) / Int8TensorKernels.TileRows * tiles), Int8TensorKernels.Threads)
            : Int8Groups(shape.Rows, tiles);
        int8.Tile(_stream, config, weight.Bytes, bytes, layout, tileChoices, order, output, shape, tiles);
    }

    private static int Tiles(int tokens) => (tokens + MatVecKernels.TileTokens - 1) / MatVecKernels.TileTokens;

    /// <summary>Inputs as bytes, in the scratch behind the normed ones.</summary>
    private ArrayView<byte> Quantize(ArrayView<float> input, Int8Layout layout)
    {
        var bytes = BytesIn(layout);
        _kernels.Quantize(_stream, BlockGroups(layout), input, bytes, layout);
        return bytes;
    }

    /// <summary>Room for inputs as bytes; what was in the scratch is gone.</summary>
    private ArrayView<byte> BytesIn(Int8Layout layout)
    {
        Scratch(layout.Tokens, layout.Columns);
        return Behind(layout);
    }

    private ArrayView<byte> Behind(Int8Layout layout) =>
        _scratch.SubView((long)layout.Tokens * layout.Columns * sizeof(float), layout.Bytes);

    /// <summary>Room for inputs; what was in it is gone.</summary>
    private ArrayView<float> Scratch(int rows, int columns)
    {
        if (StageBuffers.ScratchBytes(rows, columns) > _scratch.Length)
            throw new InvalidOperationException($"an input of {rows} × {columns} exceeds the scratch reserved, {_scratch.Length} bytes");
        return Scratch();
    }

    /// <inheritdoc cref="Scratch(int, int)"/>
    private ArrayView<float> Scratch()
    {
        _quantized = null;
        return _scratch.Cast<float>();
    }

    /// <summary>Groups in which some lanes of a warp have 32 values of an input.</summary>
    private KernelConfig BlockGroups(Int8Layout layout)
    {
        var perGroup = _device.GroupThreads / QuantizeKernels.LanesOfBlock(_device.Accelerator.WarpSize);
        return new KernelConfig(checked((int)((layout.Blocks + perGroup - 1) / perGroup)), _device.GroupThreads);
    }

    /// <summary>Groups in which some lanes of a warp have a row, for each of some tokens or tiles of tokens.</summary>
    private KernelConfig Int8Groups(int rows, int times) => new(checked(GroupsOf(rows) * times), _device.GroupThreads);

    /// <summary>Groups that so many rows take, each on some lanes of a warp.</summary>
    private int GroupsOf(int rows)
    {
        var perGroup = _device.GroupThreads / Math.Min(Int8MatVecKernels.MostLanes, _device.Accelerator.WarpSize);
        return (rows + perGroup - 1) / perGroup;
    }

    /// <summary>Groups in which each warp has a row, for each of some tokens or tiles of tokens.</summary>
    private KernelConfig RowGroups(int rows, int times)
    {
        var warps = _device.GroupThreads / _device.Accelerator.WarpSize;
        return new KernelConfig(checked((rows + warps - 1) / warps * times), _device.GroupThreads);
    }
}
