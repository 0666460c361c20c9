using Distributed.Core;
using Distributed.Cpu.Kernels;

namespace Distributed.Cpu;

/// <summary>
/// Runs operations on the processor. Weights stay in the mapped file; quantised ones are multiplied as they are, with the input as
/// bytes. Work is split between threads by rows of output or by token, never within a sum.
/// </summary>
public sealed unsafe partial class CpuBackend : Backend
{
    private readonly InstructionSets _instructions;
    private readonly CpuThreads _threads;
    private readonly LaneKernels _kernels;
    private readonly MatMulKernels _products;
    private MatMulTask[] _tasks = new MatMulTask[MaxProducts];
    private AlignedMemory _scratch = new(0);

    private const int ExpertDimensions = 3;

    /// <summary>The most matrices in one <see cref="NormMatMul"/>.</summary>
    public const int MaxProducts = Int8Input.Slots;

    /// <param name="threads">Threads that work at once, the caller's included.</param>
    /// <param name="instructions">The most it may use of what the processor has; results are the same with any, as long as values are finite.</param>
    public CpuBackend(int threads, InstructionSets instructions = InstructionSets.All)
    {
        instructions &= Processor.Instructions;
        _instructions = instructions;
        _kernels = LaneKernels.For(instructions);
        _products = new MatMulKernels(instructions);
        _threads = new CpuThreads(threads);
        Rehearsal.Start(instructions);
    }

    /// <inheritdoc/>
    public override string Device => "cpu";

    /// <summary>Threads that work at once.</summary>
    public int Threads => _threads.Count;

    /// <inheritdoc/>
    public override long ScratchBytes => _scratch.Bytes;

    /// <summary>
    /// Finds the kernel for the tensor and brings it into memory, so that the first step need not wait for the file. A mixture's
    /// experts come in as tokens choose them: of most files a step reads few.
    /// </summary>
    public override Weight Load(Tensor tensor)
    {
        if (tensor.Dimensions.Count > 1)
            Rehearsal.Start(_instructions, tensor.Type);
        if (tensor.Dimensions.Count < ExpertDimensions)
            foreach (var part in tensor.Parts)
                MappedPages.Load(part.Data, part.Bytes);
        return new CpuWeight(tensor, _products.Find(tensor.Type));
    }

    /// <inheritdoc/>
    public override Activations Allocate(int rows, int columns) => new CpuActivations(rows, columns);

    /// <inheritdoc/>
    public override void Reserve(int rows, int columns)
    {
        var bytes = StageBuffers.ScratchBytes(rows, columns);
        if (bytes <= _scratch.Bytes)
            return;
        _scratch.Dispose();
        _scratch = new AlignedMemory(bytes);
    }

    /// <inheritdoc/>
    public override KvStore AllocateKv(int layers, int blocks, AttentionShape shape, KvType type)
    {
        if (shape.HeadDim > ModelConfig.MaxHeadDim)
            throw new InvalidInputException("head size", $"{shape.HeadDim}", $"must be at most {ModelConfig.MaxHeadDim}");
        if (type.Error(shape.HeadDim) is { } error)
            throw new InvalidInputException([error]);
        return new CpuKv(layers, blocks, shape, type);
    }

    /// <inheritdoc/>
    public override void Upload(ReadOnlySpan<float> source, Activations target, int rows) =>
        source.CopyTo(new Span<float>(Row(target, 0), checked(rows * target.Columns)));

    /// <inheritdoc/>
    public override void Download(Activations source, int rows, Span<float> target) =>
        new ReadOnlySpan<float>(Row(source, 0), checked(rows * source.Columns)).CopyTo(target);

    /// <inheritdoc/>
    public override void Embed(ReadOnlySpan<int> tokens, Weight table, Activations output)
    {
        for (var i = 0; i < tokens.Length; i++)
            table.Tensor.DequantizeRow(tokens[i], new Span<float>(Row(output, i), output.Columns));
    }

    /// <inheritdoc/>
    public override void NormMatMul(
        Activations input, int rows, Norm? norm, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs) =>
        Multiply(input, rows, norm, weights, outputs, add: false);

    /// <inheritdoc/>
    public override void MatMulAdd(Activations input, int rows, Weight weight, Activations residual) =>
        Multiply(input, rows, null, new ReadOnlySpan<Weight>(ref weight), new ReadOnlySpan<Activations>(ref residual), add: true);

    /// <inheritdoc/>
    public override void Normalize(Activations input, int rows, int width, Norm norm, Activations output)
    {
        var work = new NormalizeWork(_kernels, input, rows, width, norm, output);
        _threads.Run(ref work, work.Chunks);
    }

    /// <inheritdoc/>
    public override void AddBias(Activations values, int rows, Weight bias)
    {
        var work = new ElementwiseWork(_kernels, RowOperation.AddScaled, values, rows, 1, (float*)bias.Tensor.Data);
        _threads.Run(ref work, work.Chunks);
    }

    /// <inheritdoc/>
    public override void AddScaled(Activations source, int rows, float scale, Activations target)
    {
        var work = new ElementwiseWork(_kernels, RowOperation.AddScaled, target, rows, scale, Row(source, 0), source.Columns);
        _threads.Run(ref work, work.Chunks);
    }

    /// <inheritdoc/>
    public override void Scale(Activations values, int rows, float factor)
    {
        var work = new ElementwiseWork(_kernels, RowOperation.Scale, values, rows, factor);
        _threads.Run(ref work, work.Chunks);
    }

    /// <inheritdoc/>
    public override void SoftCap(Activations values, int rows, float cap)
    {
        var work = new ElementwiseWork(_kernels, RowOperation.SoftCap, values, rows, cap);
        _threads.Run(ref work, work.Chunks);
    }

    /// <inheritdoc/>
    public override void Rope(Activations heads, int rows, int headDim, Activations cos, Activations sin, RopePairs pairs)
    {
        var work = new RopeWork(heads, rows, headDim, cos, sin, pairs);
        _threads.Run(ref work, work.Chunks);
    }

    /// <inheritdoc/>
    public override void StoreKv(KvStore kv, int layer, Batch batch, Activations keys, Activations values)
    {
        var work = new StoreKvWork(_kernels, (CpuKv)kv, layer, batch, keys, values);
        _threads.Run(ref work, work.Chunks, share: batch.Count * keys.Columns > Chunks.Values);
    }

    /// <inheritdoc/>
    public override void Attention(
        KvStore kv, int layer, Batch batch, AttentionShape shape, Weight? sinks, Activations queries, Activations output)
    {
        var work = new AttentionWork(_kernels, (CpuKv)kv, layer, batch, shape, sinks, queries, output);
        _threads.Run(ref work, work.Chunks, work.WorthSharing);
    }

    /// <inheritdoc/>
    public override void Activate(Activation activation, Activations gate, Activations? up, int rows)
    {
        var work = new ActivateWork(_kernels, activation, gate, up, rows);
        _threads.Run(ref work, work.Chunks);
    }

    /// <inheritdoc/>
    public override void Gather(Activations source, ReadOnlySpan<int> rows, Activations target)
    {
        for (var i = 0; i < rows.Length; i++)
            new ReadOnlySpan<float>(Row(source, rows[i]), source.Columns).CopyTo(new Span<float>(Row(target, i), target.Columns));
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _threads.Dispose();
        _scratch.Dispose();
    }

    /// <summary>The first value of a row.</summary>
    internal static float* Row(Activations activations, int row)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)activations.MaxRows);
        return ((CpuActivations)activations).Row(row);
    }

    private void Multiply(
        Activations input, int rows, Norm? norm, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs, bool add)
    {
        if (rows == 0)
            return;
        CheckScratch(rows, input.Columns);
        var kinds = new TermKinds(weights);
        // Scratch holds the normed input, then the same as bytes.
        var normed = norm is null ? Row(input, 0) : (float*)_scratch.Data;
        var quantized = new Int8Input(
            _scratch.Data + ((long)rows * input.Columns * sizeof(float)), rows, input.Columns / Int8Input.BlockLength);
        var prepare = new PrepareInputWork(_kernels, input, rows, norm, normed, quantized, kinds);
        if (norm is not null || kinds.Count > 0)
            _threads.Run(ref prepare, prepare.Chunks);

        for (var i = 0; i < weights.Length; i++)
        {
            _tasks[i] = Product((CpuWeight)weights[i], 0, weights[i].Rows, rows, normed, quantized, outputs[i], 0);
            _tasks[i].TermSlot = kinds.SlotOf(_tasks[i].Kernel);
            _tasks[i].Add = add;
        }
        RunTasks(weights.Length);
    }

    private static MatMulTask Product(
        CpuWeight weight, int firstRow, int rows, int tokens, float* values, Int8Input quantized, Activations output, int firstOutput)
    {
        var rowBytes = weight.Tensor.Type.RowBytes(weight.Columns);
        return new MatMulTask
        {
            Kernel = weight.Kernel,
            Weights = weight.Tensor.RowData(firstRow),
            RowBytes = rowBytes,
            Rows = rows,
            Columns = weight.Columns,
            Tokens = tokens,
            Values = values,
            Quantized = quantized,
            Output = Row(output, firstOutput),
            OutputStride = output.Columns,
        };
    }

    private void RunTasks(int count)
    {
        var work = new MatMulWork(_tasks, count, _threads.Count);
        _threads.Run(ref work, work.Chunks, work.WorthSharing);
    }

    private void CheckScratch(int rows, int columns)
    {
        if (StageBuffers.ScratchBytes(rows, columns) > _scratch.Bytes)
            throw new InvalidOperationException($"an input of {rows} × {columns} exceeds the scratch reserved, {_scratch.Bytes} bytes");
    }
}
