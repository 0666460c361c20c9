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

    /// <summary>
    /// How the bytes of a block lie, with its shape and format: stores of the same layout can hand blocks to each other. Null where blocks
    /// cannot be taken out, and the methods below throw <see cref="NotSupportedException"/>.
    /// </summary>
    public virtual string? Layout => null;

    /// <summary>Bytes of one layer's keys and values in a block.</summary>
    public virtual int LayerBlockBytes => throw new NotSupportedException();

    /// <summary>Copies what one layer has in a block out.</summary>
    /// <param name="layer">The layer, counted from the store's first.</param>
    /// <param name="block">The block.</param>
    /// <param name="target">[<see cref="LayerBlockBytes"/>]</param>
    public virtual void ReadBlock(int layer, int block, Span<byte> target) => throw new NotSupportedException();

    /// <summary>Copies what one layer has in a block in.</summary>
    /// <param name="layer">The layer, counted from the store's first.</param>
    /// <param name="block">The block.</param>
    /// <param name="source">[<see cref="LayerBlockBytes"/>]</param>
    public virtual void WriteBlock(int layer, int block, ReadOnlySpan<byte> source) => throw new NotSupportedException();

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>The shape of attention in one layer.</summary>
/// <param name="NumHeads">Query heads.</param>
/// <param name="NumKvHeads">Key and value heads; each serves NumHeads / NumKvHeads query heads.</param>
/// <param name="HeadDim">Values per head.</param>
/// <param name="Scale">What q·k is multiplied by.</param>
/// <param name="Window">Keys a query sees, its own and those before it; null for all.</param>
/// <param name="SoftCap">Scaled scores become SoftCap × tanh(score / SoftCap); null for no cap.</param>
public sealed record AttentionShape(
    int NumHeads, int NumKvHeads, int HeadDim, float Scale, int? Window = null, float? SoftCap = null);

/// <summary>A norm of a row: RMS norm (Zhang and Sennrich 2019) or, centred, LayerNorm (Ba et al. 2016).</summary>
/// <param name="Weight">What each normed value is multiplied by, float32.</param>
/// <param name="Eps">Added to the mean square (or variance) under the root.</param>
/// <param name="IsCentred">The mean is taken away first: LayerNorm.</param>
/// <param name="Bias">Added behind the multiplication, float32, as long as the weight; null for none. Centred norms only.</param>
public sealed record Norm(Weight Weight, float Eps, bool IsCentred = false, Weight? Bias = null);

/// <summary>What stands between the matrices of a feed-forward network.</summary>
public enum Activation
{
    /// <summary>x / (1 + e^−x) (SwiGLU with a second factor, Shazeer 2020).</summary>
    Silu,

    /// <summary>GELU (Hendrycks and Gimpel 2016) in its tanh form: x / (1 + e^(−2 √(2/π) (x + 0.044715 x³))).</summary>
    Gelu,

    /// <summary>gpt-oss: x cut at 7, x / (1 + e^(−1.702 x)), times the second factor cut to ±7 plus 1.</summary>
    ClampedSwish,
}

/// <summary>Which experts the tokens of a step go to, with what weights, on a device. Each pair of a token and an expert is a choice.</summary>
/// <param name="experts">Experts to choose from.</param>
/// <param name="perToken">Experts that each token goes to.</param>
public abstract class ExpertChoices(int experts, int perToken)
{
    /// <summary>Experts to choose from.</summary>
    public int Experts { get; } = experts;

    /// <summary>Experts that each token goes to.</summary>
    public int PerToken { get; } = perToken;
}

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

    /// <summary>
    /// Takes at once the memory that a stage will ask for piece by piece; what is asked for beyond it is taken then. A processor takes
    /// none before it is used.
    /// </summary>
    /// <param name="forecast">What the stage will take.</param>
    /// <param name="pieces">In how many pieces, at most.</param>
    /// <exception cref="DeviceFullException">The device has less.</exception>
    public virtual void Prepare(StageMemory forecast, int pieces)
    {
    }

    /// <summary>Waits until the device has done all operations; on a CPU each is done when its call ends.</summary>
    public virtual void Wait()
    {
    }

    /// <summary>Gives back what <see cref="Load"/> took for a weight that is used no more; else that goes with the backend.</summary>
    public virtual void Unload(Weight weight)
    {
    }

    /// <summary>Makes a weight usable on the device. On a CPU it stays in the mapped file.</summary>
    /// <exception cref="InvalidInputException">The device has no kernel for the tensor's type.</exception>
    public abstract Weight Load(Tensor tensor);

    /// <summary>Allocates a zeroed float32 matrix [rows, columns].</summary>
    public abstract Activations Allocate(int rows, int columns);

    /// <summary>
    /// Makes room in the kernels' scratch for products with inputs of up to <paramref name="rows"/> × <paramref name="columns"/>
    /// values; called before the first operation. What was reserved before stays. Experts need a row for each choice.
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
    /// The norm of each row (null: the row as it is), then one product per matrix:
    /// outputs[j] = weights[j] · norm(input): [rows, n] → [rows, weights[j].Rows]. The norm and its quantisation are done once.
    /// </summary>
    public abstract void NormMatMul(
        Activations input, int rows, Norm? norm, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs);

    /// <summary>residual += weight · input: [rows, weight.Columns] → [rows, weight.Rows].</summary>
    public abstract void MatMulAdd(Activations input, int rows, Weight weight, Activations residual);

    /// <summary>
    /// Norms each run of <paramref name="width"/> values of each row: [rows, n] → the same shape; <paramref name="output"/> may be
    /// the input. A norm with more weights than a run takes them run after run.
    /// </summary>
    public abstract void Normalize(Activations input, int rows, int width, Norm norm, Activations output);

    /// <summary>values[row] += bias: [rows, n] and float32 [n].</summary>
    public abstract void AddBias(Activations values, int rows, Weight bias);

    /// <summary>target += scale × source: [rows, n] both.</summary>
    public abstract void AddScaled(Activations source, int rows, float scale, Activations target);

    /// <summary>values × factor, in place: [rows, n].</summary>
    public abstract void Scale(Activations values, int rows, float factor);

    /// <summary>cap × tanh(values / cap), in place: [rows, n].</summary>
    public abstract void SoftCap(Activations values, int rows, float cap);

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
    /// <param name="kv">The cache.</param>
    /// <param name="layer">Counted from the stage's first.</param>
    /// <param name="batch">The step's tokens.</param>
    /// <param name="shape">Of this layer.</param>
    /// <param name="sinks">One more score per head, float32 [heads], that takes weight but has no value; null for none.</param>
    /// <param name="queries">[tokens, heads × headDim]</param>
    /// <param name="output">[tokens, heads × headDim]</param>
    public abstract void Attention(
        KvStore kv, int layer, Batch batch, AttentionShape shape, Weight? sinks, Activations queries, Activations output);

    /// <summary>gate = activation(gate) × up, element by element, in place; without <paramref name="up"/>, activation(gate).</summary>
    public abstract void Activate(Activation activation, Activations gate, Activations? up, int rows);

    /// <summary>Makes room for the choices of a step's tokens.</summary>
    /// <param name="tokens">The most tokens.</param>
    /// <param name="experts">Experts to choose from.</param>
    /// <param name="perToken">Experts that each token goes to; at most <paramref name="experts"/>.</param>
    public abstract ExpertChoices AllocateChoices(int tokens, int experts, int perToken);

    /// <summary>
    /// Chooses for each token the experts with the highest scores (of equal ones the first); their weights are the softmax of the
    /// scores, over the chosen ones alone when <paramref name="overChosen"/> is set, else over all.
    /// </summary>
    public abstract void ChooseExperts(Activations scores, int rows, bool overChosen, ExpertChoices choices);

    /// <summary>
    /// Products with the matrices of the experts chosen, and of no others: outputs[j][choice] = weights[j][its expert] · input.
    /// Choices come in an order of the backend's own, the same until the next <see cref="ChooseExperts"/>.
    /// </summary>
    /// <param name="input">[tokens, n], a row for each token; when <paramref name="perChoice"/> is set [choices, n].</param>
    /// <param name="perChoice">The input has a row for each choice.</param>
    /// <param name="choices">The choices.</param>
    /// <param name="weights">Matrices of all experts one after the other: experts × m rows.</param>
    /// <param name="outputs">[choices, m] each.</param>
    public abstract void ExpertMatMul(
        Activations input, bool perChoice, ExpertChoices choices, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs);

    /// <summary>values[choice] += bias[its expert]: [choices, m] and float32 [experts, m].</summary>
    public abstract void AddExpertBias(Activations values, ExpertChoices choices, Weight bias);

    /// <summary>residual[token] += the sum of weight × values over the token's choices: [choices, m] → [tokens, m].</summary>
    public abstract void AddExperts(Activations values, ExpertChoices choices, Activations residual);

    /// <summary>Gathers rows: target[i] = source[rows[i]].</summary>
    public abstract void Gather(Activations source, ReadOnlySpan<int> rows, Activations target);

    /// <inheritdoc/>
    public abstract void Dispose();
}
