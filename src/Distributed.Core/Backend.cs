namespace Distributed.Core;

/// <summary>A weight matrix where a device can use it: the mapped file itself on a CPU, a copy on a GPU.</summary>
public abstract class Weight(Tensor tensor)
{
    /// <summary>The tensor it came from.</summary>
    public Tensor Tensor { get; } = tensor;

    /// <summary>Values per row: the length of an input.</summary>
    public int Columns { get; } = checked((int)tensor.Columns);

    /// <summary>Rows: the length of an output.</summary>
    public int Rows { get; } = checked((int)tensor.Rows);
}

/// <summary>A float32 matrix in a device's memory, allocated once for the largest batch and used by its first rows.</summary>
/// <param name="rows">The most rows.</param>
/// <param name="columns">Values per row.</param>
public abstract class Activations(int rows, int columns) : IDisposable
{
    /// <summary>The most rows: tokens, as a rule.</summary>
    public int MaxRows { get; } = rows;

    /// <summary>Values per row.</summary>
    public int Columns { get; } = columns;

    /// <summary>Bytes allocated.</summary>
    public long Bytes => (long)MaxRows * Columns * sizeof(float);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>The keys and values of a stage's layers in a device's memory, in blocks of <see cref="StageSpec.KvBlockTokens"/> tokens.</summary>
public abstract class KvStore : IDisposable
{
    /// <summary>Bytes allocated, keys and values of all layers.</summary>
    public abstract long Bytes { get; }

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>The shape of attention in one layer.</summary>
/// <param name="NumHeads">Query heads.</param>
/// <param name="NumKvHeads">Key and value heads; each serves NumHeads / NumKvHeads query heads.</param>
/// <param name="HeadDim">Values per head.</param>
/// <param name="Scale">What q·k is multiplied by.</param>
public sealed record AttentionShape(int NumHeads, int NumKvHeads, int HeadDim, float Scale);

/// <summary>
/// The code that runs a model's operations on one kind of device. Operations are coarse enough to be fused, take the number of
/// rows (tokens) to work on, and never allocate. On a CPU every output element has one fixed order of additions, whatever the
/// batch and the number of threads. Inputs and outputs must not be the same buffer unless an operation says so.
/// A backend is used by one thread at a time.
/// </summary>
public abstract class Backend : IDisposable
{
    /// <summary>The device, as configured: <c>cpu</c>, <c>cuda:0</c>.</summary>
    public abstract string Device { get; }

    /// <summary>Bytes of scratch the backend holds for its kernels.</summary>
    public abstract long ScratchBytes { get; }

    /// <summary>Makes a weight usable on the device. On a CPU it stays in the mapped file.</summary>
    /// <exception cref="InvalidInputException">The device has no kernel for the tensor's type.</exception>
    public abstract Weight Load(Tensor tensor);

    /// <summary>Allocates a zeroed float32 matrix [rows, columns].</summary>
    public abstract Activations Allocate(int rows, int columns);

    /// <summary>
    /// Makes room in the kernels' scratch for products with inputs of up to <paramref name="rows"/> × <paramref name="columns"/>
    /// values; called before the first operation. What was reserved before stays.
    /// </summary>
    public abstract void Reserve(int rows, int columns);

    /// <summary>Allocates keys and values for <paramref name="layers"/> layers of <paramref name="blocks"/> blocks.</summary>
    /// <param name="layers">Layers of the stage; layer indices of the other operations count from the stage's first layer.</param>
    /// <param name="blocks">Blocks per layer.</param>
    /// <param name="shape">Its NumKvHeads × HeadDim values per token are stored twice: keys and values.</param>
    /// <param name="type">The format.</param>
    public abstract KvStore AllocateKv(int layers, int blocks, AttentionShape shape, KvType type);

    /// <summary>Copies [rows, columns] from the host into the first rows.</summary>
    public abstract void Upload(ReadOnlySpan<float> source, Activations target, int rows);

    /// <summary>Copies the first rows to the host and waits for the device.</summary>
    public abstract void Download(Activations source, int rows, Span<float> target);

    /// <summary>output[i] = table[tokens[i]], dequantised: [tokens] → [tokens, table.Columns].</summary>
    public abstract void Embed(ReadOnlySpan<int> tokens, Weight table, Activations output);

    /// <summary>
    /// RMS norm (Zhang and Sennrich 2019) of each row, times <paramref name="norm"/>, then one product per matrix:
    /// outputs[j] = weights[j] · norm(input): [rows, n] → [rows, weights[j].Rows]. The norm and its quantisation are done once.
    /// </summary>
    public abstract void NormMatMul(
        Activations input, int rows, Weight norm, float eps, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs);

    /// <summary>residual += weight · input: [rows, weight.Columns] → [rows, weight.Rows].</summary>
    public abstract void MatMulAdd(Activations input, int rows, Weight weight, Activations residual);

    /// <summary>
    /// Rotates each head of <paramref name="heads"/> [rows, n × headDim] in place by the angles of its row.
    /// </summary>
    /// <param name="heads">Queries or keys.</param>
    /// <param name="rows">Tokens.</param>
    /// <param name="headDim">Values per head.</param>
    /// <param name="cos">[rows, rotated / 2]; fewer than headDim / 2 columns leave the rest of each head as it is.</param>
    /// <param name="sin">The same shape as <paramref name="cos"/>.</param>
    /// <param name="pairs">Which values form a pair.</param>
    public abstract void Rope(Activations heads, int rows, int headDim, Activations cos, Activations sin, RopePairs pairs);

    /// <summary>Writes the batch's keys and values [tokens, kvHeads × headDim] into their blocks of layer <paramref name="layer"/>.</summary>
    public abstract void StoreKv(KvStore kv, int layer, Batch batch, Activations keys, Activations values);

    /// <summary>
    /// Causal attention of each query over the keys and values of its own sequence up to its own position:
    /// [tokens, heads × headDim] → the same shape. The batch's own keys must have been stored.
    /// </summary>
    public abstract void Attention(KvStore kv, int layer, Batch batch, AttentionShape shape, Activations queries, Activations output);

    /// <summary>gate = silu(gate) × up, element by element, in place (SwiGLU, Shazeer 2020).</summary>
    public abstract void SwiGlu(Activations gate, Activations up, int rows);

    /// <summary>Gathers rows: target[i] = source[rows[i]].</summary>
    public abstract void Gather(Activations source, ReadOnlySpan<int> rows, Activations target);

    /// <inheritdoc/>
    public abstract void Dispose();
}
