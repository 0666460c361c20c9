using Distributed.Core;

namespace Distributed.Cli.Output;

/// <summary>What <c>inspect</c> says of a model file. Sizes are bytes.</summary>
/// <param name="File">Its path.</param>
/// <param name="Format">The format in words.</param>
/// <param name="FileBytes">Its length; of all files of a split set.</param>
/// <param name="Shards">Files of the set; 1 as a rule.</param>
/// <param name="Hash">What tells models apart, in hexadecimal; null where the file is no model that runs.</param>
/// <param name="Model">The model's shape; null where the file is no model that runs.</param>
/// <param name="Memory">Its memory by part; null where the file is no model that runs.</param>
/// <param name="Types">How many tensors and bytes each quant type has.</param>
/// <param name="Metadata">All keys; a long array by its length and its first elements.</param>
/// <param name="Tensors">The tensors in the file's order; null unless asked for.</param>
internal sealed record ModelReport(
    string File,
    string Format,
    long FileBytes,
    int Shards,
    string? Hash,
    ModelConfig? Model,
    ModelMemory? Memory,
    IReadOnlyList<TypeShare> Types,
    IReadOnlyDictionary<string, object> Metadata,
    IReadOnlyList<TensorLine>? Tensors)
{
    private const int MaxElements = 8;

    /// <summary>Looks at a file.</summary>
    /// <param name="source">The file.</param>
    /// <param name="tensors">Its tensors; empty where they are not understood.</param>
    /// <param name="model">The same file as a model; null where it is none that runs.</param>
    /// <param name="memory">The model's memory; null with <paramref name="model"/>.</param>
    /// <param name="listTensors">List the tensors.</param>
    public static ModelReport Create(
        ModelSource source, IEnumerable<Tensor> tensors, ModelFile? model, ModelMemory? memory, bool listTensors) => new(
        source.Path,
        source.Format,
        source.Bytes,
        source.Shards,
        model is null ? null : Convert.ToHexStringLower(model.Hash),
        model?.Config,
        memory,
        [.. tensors.GroupBy(tensor => tensor.Type).Select(group => new TypeShare(
            group.Key.Name, group.Count(), group.Sum(tensor => tensor.Columns * tensor.Rows), group.Sum(tensor => tensor.Bytes)))],
        source.Entries.ToDictionary(entry => entry.Key, entry => Shorten(entry.Value)),
        listTensors ? [.. tensors.Select(TensorLine.Of)] : null);

    private static object Shorten(object value) => value is Array { Length: > MaxElements } array
        ? new LongArray(array.Length, [.. array.Cast<object>().Take(MaxElements)])
        : value;
}

/// <summary>An array too long to be listed.</summary>
internal sealed record LongArray(int Length, IReadOnlyList<object> First);

/// <summary>The tensors of one quant type.</summary>
internal sealed record TypeShare(string Type, int Tensors, long Values, long Bytes);

/// <summary>One tensor; dimensions as in the file, a row's length first.</summary>
internal sealed record TensorLine(string Name, string Type, IReadOnlyList<long> Dimensions, long Bytes)
{
    /// <summary>The line of a tensor.</summary>
    public static TensorLine Of(Tensor tensor) => new(tensor.Name, tensor.Type.Name, tensor.Dimensions, tensor.Bytes);
}

/// <summary>A model's memory by part, in bytes.</summary>
/// <param name="Embedding">The token embedding.</param>
/// <param name="Layers">All layers.</param>
/// <param name="LmHead">The final norm and the output matrix.</param>
/// <param name="TiedHead">The output matrix is the embedding: a stage that has both holds it once.</param>
/// <param name="KvPerToken">Keys and values of one token in all layers.</param>
/// <param name="Context">Tokens of one sequence.</param>
/// <param name="KvType">The format of keys and values.</param>
/// <param name="KvAtContext">The KV cache of one sequence of that many tokens, in whole blocks.</param>
internal sealed record ModelMemory(
    long Embedding, long Layers, long LmHead, bool TiedHead, long KvPerToken, int Context, string KvType, long KvAtContext)
{
    /// <summary>Adds up a model's parts.</summary>
    public static ModelMemory Of(ModelFile model, int context, KvType kvType)
    {
        var config = model.Config;
        var kvPerToken = 2 * config.NumLayers * kvType.Bytes(config.KvSize);
        return new ModelMemory(
            Bytes(StageTensors.For(model, 0, 0, hasEmbedding: true, hasHead: false)),
            Bytes(StageTensors.For(model, 0, config.NumLayers, hasEmbedding: false, hasHead: false)),
            Bytes(StageTensors.For(model, 0, 0, hasEmbedding: false, hasHead: true)),
            ReferenceEquals(model.OutputMatrix, model.Tensors[TensorNames.TokenEmbedding]),
            kvPerToken,
            context,
            kvType.ToName(),
            kvPerToken * StageSpec.BlocksFor(context) * StageSpec.KvBlockTokens);

        static long Bytes(IEnumerable<StageTensor> tensors) => tensors.Sum(tensor => tensor.Tensor.Bytes);
    }
}
