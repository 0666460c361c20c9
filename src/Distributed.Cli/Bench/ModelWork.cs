using Distributed.Core;

namespace Distributed.Cli.Bench;

/// <summary>
/// What a test cannot do without: bytes that must come from memory and operations that must be done, counted from the model's shape.
/// Where layers see a window of keys, all are taken to: it is then never less than what is counted.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="kvType">The format of the KV cache.</param>
/// <param name="batch">The most tokens in a step.</param>
internal sealed class ModelWork(ModelFile model, KvType kvType, int batch)
{
    private readonly IReadOnlyList<StageTensor> _tensors =
        StageTensors.For(model, 0, model.Config.NumLayers, hasEmbedding: false, hasHead: true);

    /// <summary>Weights are multiplied as float32, not as bytes.</summary>
    public bool IsFloat { get; } = model.OutputMatrix.Type.BlockLength == 1;

    /// <summary>Bytes that one run of a test reads: weights once for each step, and keys and values.</summary>
    public double Bytes(BenchTest test) => test.Kind == TestKind.Decode
        ? (test.Tokens * WeightBytes(test.Sequences, hasOutputs: true)) + (test.Sequences * KvBytes(Keys(test)))
        : Steps(test).Sum(step => WeightBytes(step.Tokens, step.IsLast) + KvBytes(Seen(step.End)));

    /// <summary>Operations of one run of a test, two to a multiply-add: products with matrices, and attention.</summary>
    public double Operations(BenchTest test)
    {
        var outputs = test.Kind == TestKind.Decode ? test.AllTokens : 1;
        return 2 * ((test.AllTokens * Macs(TensorRole.Repeating)) + (outputs * Macs(TensorRole.Output))
            + (test.Sequences * Keys(test) * 2 * model.Config.QuerySize * model.Config.NumLayers));
    }

    // Keys that the tokens of one sequence see, all together.
    private double Keys(BenchTest test) => Enumerable.Range(test.Depth + 1, test.Tokens).Sum(end => (double)Seen(end));

    private int Seen(int keys) => Math.Min(keys, model.Config.SlidingWindow ?? int.MaxValue);

    private IEnumerable<(int Tokens, int End, bool IsLast)> Steps(BenchTest test)
    {
        for (var done = 0; done < test.Tokens; done += batch)
        {
            var tokens = Math.Min(batch, test.Tokens - done);
            yield return (tokens, test.Depth + done + tokens, done + tokens == test.Tokens);
        }
    }

    private double KvBytes(double keys) => keys * 2 * kvType.Bytes(model.Config.KvSize) * model.Config.NumLayers;

    private double WeightBytes(int tokens, bool hasOutputs) =>
        _tensors.Where(entry => hasOutputs || entry.Role != TensorRole.Output).Sum(entry => entry.Tensor.Bytes * ShareRead(entry.Tensor, tokens));

    private double Macs(TensorRole role) =>
        _tensors.Where(entry => entry.Role == role && entry.Tensor.Rows > 1).Sum(entry => (double)entry.Tensor.Columns * entry.Tensor.Rows * ShareUsed(entry.Tensor));

    // Of a token's experts.
    private double ShareUsed(Tensor tensor) => Experts(tensor) is { } experts ? (double)experts.PerToken / experts.Count : 1;

    // Tokens that choose at random leave out an expert each with this chance, independently.
    private double ShareRead(Tensor tensor, int tokens) => Experts(tensor) is null ? 1 : 1 - Math.Pow(1 - ShareUsed(tensor), tokens);

    private ExpertsConfig? Experts(Tensor tensor) =>
        tensor.Name.Contains("_exps.", StringComparison.Ordinal) ? model.Config.Experts : null;
}
