using Distributed.Core;
using Distributed.Gpu.Formats;
using Distributed.Gpu.Kernels;
using ILGPU;
using ILGPU.Runtime;

namespace Distributed.Gpu;

/// <summary>
/// Runs operations on a graphics card. Weights lie in its memory in as many bytes as in their file, which are unpacked where they are
/// multiplied; those of some formats in another order (<see cref="BlockPlanes"/>). Everything is enqueued on one stream; the host waits
/// when it downloads, once a step. A token's results do not depend on its batch.
/// </summary>
public sealed partial class GpuBackend : Backend
{
    private const long RearrangedBytes = 16 << 20;

    // With fewer, a tile would be mostly empty.
    private const int FewTokens = 8;

    private readonly GpuAccelerator _device;
    private readonly AcceleratorStream _stream;
    private readonly HostTransfers _transfers;
    private readonly GpuMemory _memory;
    private readonly GpuKernels _kernels;
    private readonly DeviceInts _tokens;
    private readonly DeviceInts _gathered;
    private ArrayView<byte> _scratch;
    private IDisposable? _scratchApart;

    /// <param name="device">The device, from <see cref="GpuDevices.Open"/>.</param>
    public GpuBackend(GpuAccelerator device)
    {
        _device = device;
        _kernels = device.Kernels;
        _stream = device.Accelerator.CreateStream();
        _transfers = new HostTransfers(device.Accelerator, _stream);
        _memory = new GpuMemory(device);
        _tokens = new DeviceInts(device.Accelerator, _transfers);
        _gathered = new DeviceInts(device.Accelerator, _transfers);
        _steps = new DeviceInts(device.Accelerator, _transfers);
        _tables = new DeviceInts(device.Accelerator, _transfers);
        _queryTiles = new DeviceInts(device.Accelerator, _transfers);
        _order = new DeviceInts(device.Accelerator, _transfers);
        _expertTiles = new DeviceInts(device.Accelerator, _transfers);
    }

    /// <inheritdoc/>
    public override string Device => _device.Name;

    /// <inheritdoc/>
    public override long ScratchBytes => _scratch.Length;

    /// <summary>How often the host has waited for the device.</summary>
    public long Waits => _transfers.Waits;

    /// <summary>Pieces of memory that were asked of the device, and are held.</summary>
    public int DeviceAllocations => _memory.Allocations;

    /// <summary>Bytes allocated on the device.</summary>
    public long DeviceBytes => _memory.Bytes;

    /// <inheritdoc/>
    public override void Prepare(StageMemory forecast, int pieces) => _memory.Prepare(forecast.Total, pieces);

    /// <inheritdoc/>
    public override void Wait() => _transfers.Wait();

    /// <inheritdoc/>
    public override void Unload(Weight weight) => ((GpuWeight)weight).Unload();

    /// <inheritdoc/>
    public override unsafe Weight Load(Tensor tensor)
    {
        var kernels = _device.Find(tensor.Type)
            ?? throw new InvalidInputException($"type of {tensor.Name}", tensor.Type.Name, $"must be one of {FormatKernels.Names}");
        var (view, apart) = _memory.Allocate(tensor.Bytes);
        var int8 = _device.FindInt8(tensor);
        var at = 0L;
        foreach (var part in tensor.Parts)
        {
            if (int8 is { Parts.Length: > 0 })
                UploadPlanes(part, int8.Parts, view, at);
            else
                view.SubView(at, part.Bytes).CopyFromCPU(_stream, ref *part.Data, part.Bytes);
            at += part.Bytes;
        }
        return new GpuWeight(tensor, view, apart, kernels, int8);
    }

    /// <inheritdoc/>
    public override Activations Allocate(int rows, int columns)
    {
        var bytes = (long)rows * columns * sizeof(float);
        var (view, apart) = _memory.Allocate(bytes);
        if (bytes > 0)
            view.MemSetToZero(_stream);
        return new GpuActivations(rows, columns, view, apart);
    }

    /// <inheritdoc/>
    public override void Reserve(int rows, int columns)
    {
        _tokens.Reserve(rows);
        _gathered.Reserve(rows);
        _steps.Reserve(2 * rows);
        _queryTiles.Reserve(2 * rows);
        var bytes = StageBuffers.ScratchBytes(rows, columns);
        if (bytes <= _scratch.Length)
            return;
        _scratchApart?.Dispose();
        (_scratch, _scratchApart) = _memory.Allocate(bytes);
    }

    /// <inheritdoc/>
    public override void Upload(ReadOnlySpan<float> source, Activations target, int rows) =>
        _transfers.Upload(source[..Values(target, rows)], View(target));

    /// <inheritdoc/>
    public override void Download(Activations source, int rows, Span<float> target) =>
        _transfers.Download(View(source), target[..Values(source, rows)]);

    /// <inheritdoc/>
    public override void Embed(ReadOnlySpan<int> tokens, Weight table, Activations output)
    {
        var weight = (GpuWeight)table;
        if (weight.Int8 is { } int8)
        {
            int8.Embed(_stream, Values(output, tokens.Length), weight.Bytes, _tokens.Upload(tokens), View(output), output.Columns);
            return;
        }
        weight.Kernels.Embed(
            _stream, Values(output, tokens.Length), weight.Bytes, _device.Tables, _tokens.Upload(tokens), View(output), output.Columns);
    }

    /// <inheritdoc/>
    public override void NormMatMul(
        Activations input, int rows, Norm? norm, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs)
    {
        if (rows == 0)
            return;
        var values = View(input);
        if (norm is not null)
        {
            values = Scratch(rows, input.Columns);
            Normalize(View(input), rows, input.Columns, input.Columns, norm, values);
        }
        ArrayView<byte>? bytes = null;
        for (var i = 0; i < weights.Length; i++)
            Multiply(values, rows, (GpuWeight)weights[i], View(outputs[i]), add: false, ref bytes);
    }

    /// <inheritdoc/>
    public override void MatMulAdd(Activations input, int rows, Weight weight, Activations residual)
    {
        ArrayView<byte>? bytes = null;
        if (rows > 0)
            Multiply(View(input), rows, (GpuWeight)weight, View(residual), add: true, ref bytes);
    }

    /// <inheritdoc/>
    public override void Normalize(Activations input, int rows, int width, Norm norm, Activations output) =>
        Normalize(View(input), rows, input.Columns, width, norm, View(output));

    /// <inheritdoc/>
    public override void AddBias(Activations values, int rows, Weight bias) =>
        _kernels.AddBias(_stream, Values(values, rows), View(values), Floats(bias), values.Columns);

    /// <inheritdoc/>
    public override void AddScaled(Activations source, int rows, float scale, Activations target) =>
        _kernels.AddScaled(_stream, Values(target, rows), View(source), scale, View(target));

    /// <inheritdoc/>
    public override void Scale(Activations values, int rows, float factor) =>
        _kernels.Scale(_stream, Values(values, rows), View(values), factor);

    /// <inheritdoc/>
    public override void SoftCap(Activations values, int rows, float cap) =>
        _kernels.SoftCap(_stream, Values(values, rows), View(values), cap);

    /// <inheritdoc/>
    public override void Rope(Activations heads, int rows, int headDim, Activations cos, Activations sin, RopePairs pairs)
    {
        var perRow = heads.Columns / headDim;
        if (pairs == RopePairs.HalvesToNeighbours)
        {
            var config = new KernelConfig(rows * perRow, _device.GroupThreads);
            _kernels.HalvesToNeighbours(_stream, config, View(heads), View(cos), View(sin), heads.Columns, headDim, cos.Columns);
        }
        else
        {
            _kernels.Rotate(
                _stream, rows * perRow * cos.Columns, View(heads), View(cos), View(sin), heads.Columns, headDim, cos.Columns, pairs);
        }
    }

    /// <inheritdoc/>
    public override void Activate(Activation activation, Activations gate, Activations? up, int rows) => _kernels.Activate(
        _stream, Values(gate, rows), activation, View(gate), up is null ? View(gate) : View(up), up is null ? 0 : 1);

    /// <inheritdoc/>
    public override void Gather(Activations source, ReadOnlySpan<int> rows, Activations target) => _kernels.Gather(
        _stream, Values(target, rows.Length), View(source), _gathered.Upload(rows), View(target), target.Columns);

    /// <inheritdoc/>
    public override void Dispose()
    {
        _transfers.Wait();
        _memory.Dispose();
        foreach (var ints in new[] { _tokens, _gathered, _steps, _tables, _queryTiles, _order, _expertTiles })
            ints.Dispose();
        _transfers.Dispose();
        _stream.Dispose();
    }

    private static ArrayView<float> View(Activations activations) => ((GpuActivations)activations).Values;

    private static ArrayView<float> Floats(Weight weight) => ((GpuWeight)weight).Floats;

    /// <summary>Values in the first rows.</summary>
    private static int Values(Activations activations, int rows)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)rows, (uint)activations.MaxRows);
        return checked(rows * activations.Columns);
    }

    private ArrayView<float> Scratch(int rows, int columns)
    {
        if (StageBuffers.ScratchBytes(rows, columns) > _scratch.Length)
            throw new InvalidOperationException($"an input of {rows} × {columns} exceeds the scratch reserved, {_scratch.Length} bytes");
        return _scratch.Cast<float>();
    }

    private void Normalize(ArrayView<float> input, int rows, int columns, int width, Norm norm, ArrayView<float> output)
    {
        var runs = columns / width;
        var config = new KernelConfig(rows * runs, _device.GroupThreads);
        var weight = Floats(norm.Weight);
        if (norm.IsCentred)
        {
            var bias = norm.Bias is null ? weight : Floats(norm.Bias);
            _kernels.LayerNorm(_stream, config, input, weight, bias, norm.Bias is null ? 0 : 1, output, width, runs, norm.Eps);
        }
        else
        {
            _kernels.RmsNorm(_stream, config, input, weight, output, width, runs, norm.Eps);
        }
    }

    /// <param name="input">[tokens, columns]</param>
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
        var values = (long)layout.Tokens * layout.Columns;
        Scratch(layout.Tokens, layout.Columns);
        var bytes = _scratch.SubView(values * sizeof(float), layout.Bytes);
        _kernels.Quantize(_stream, checked((int)(values / 32)), input, bytes, layout);
        return bytes;
    }

    // Some blocks at a time: the host need not hold a second copy of a large tensor.
    private unsafe void UploadPlanes(Tensor tensor, BlockPart[] parts, ArrayView<byte> target, long start)
    {
        var blockBytes = tensor.Type.BlockBytes;
        var (first, all, most) = (start / blockBytes, target.Length / blockBytes, Math.Min(tensor.Bytes, RearrangedBytes) / blockBytes);
        var buffer = new byte[most * blockBytes];
        for (var done = 0L; done < tensor.Bytes / blockBytes; done += most)
        {
            var count = Math.Min(most, (tensor.Bytes / blockBytes) - done);
            BlockPlanes.Rearrange(new ReadOnlySpan<byte>(tensor.Data + (done * blockBytes), (int)(count * blockBytes)), buffer, parts);
            var (plane, from) = (0L, 0);
            foreach (var part in parts)
            {
                var bytes = (int)count * part.Bytes;
                // As a span, which is pinned until the copy is done: the collector may move what a reference points to.
                target.SubView(plane + ((first + done) * part.Bytes), bytes).CopyFromCPU(_stream, new ReadOnlySpan<byte>(buffer, from, bytes));
                (plane, from) = (plane + (all * part.Bytes), from + bytes);
            }
        }
    }

    /// <summary>Groups in which some lanes of a warp have a row, for each of some tokens or tiles of tokens.</summary>
    private KernelConfig Int8Groups(int rows, int times)
    {
        var perGroup = _device.GroupThreads / Math.Min(Int8MatVecKernels.MostLanes, _device.Accelerator.WarpSize);
        return new KernelConfig(checked((rows + perGroup - 1) / perGroup * times), _device.GroupThreads);
    }

    /// <summary>Groups in which each warp has a row, for each of some tokens or tiles of tokens.</summary>
    private KernelConfig RowGroups(int rows, int times)
    {
        var warps = _device.GroupThreads / _device.Accelerator.WarpSize;
        return new KernelConfig(checked((rows + warps - 1) / warps * times), _device.GroupThreads);
    }
}
