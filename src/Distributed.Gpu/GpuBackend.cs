using Distributed.Core;
using Distributed.Gpu.Formats;
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
        _transfers = new HostTransfers(device.Accelerator, _stream, device.Clock);
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

    /// <summary>Times each kernel from now on; no other backend of the device may run meanwhile.</summary>
    public void StartClock() => _device.Clock.Start(_stream);

    /// <summary>Waits for the device and ends what <see cref="StartClock"/> began.</summary>
    /// <returns>A row for each kernel and for copies, those first that took longest.</returns>
    public IReadOnlyList<KernelTime> StopClock() => _device.Clock.Stop();

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
        _hasInt8 |= int8 is not null;
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
        _quantized = null;
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
        var sent = _tokens.Upload(tokens);
        if (weight.Int8 is { } int8)
            int8.Embed(_stream, Values(output, tokens.Length), weight.Bytes, sent, View(output), output.Columns);
        else
            weight.Kernels.Embed(_stream, Values(output, tokens.Length), weight.Bytes, _device.Tables, sent, View(output), output.Columns);
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
    public override void Gather(Activations source, ReadOnlySpan<int> rows, Activations target)
    {
        var sent = _gathered.Upload(rows);
        _kernels.Gather(_stream, Values(target, rows.Length), View(source), sent, View(target), target.Columns);
    }

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

    /// <summary>The values, which whoever asks may change: their bytes are good no longer.</summary>
    private ArrayView<float> View(Activations activations)
    {
        if (ReferenceEquals(activations, _quantized))
            _quantized = null;
        return ((GpuActivations)activations).Values;
    }

    private static ArrayView<float> Floats(Weight weight) => ((GpuWeight)weight).Floats;

    /// <summary>Values in the first rows.</summary>
    private static int Values(Activations activations, int rows)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)rows, (uint)activations.MaxRows);
        return checked(rows * activations.Columns);
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
}
