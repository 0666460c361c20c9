using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>Matrices of one format that a unit multiplies with.</summary>
/// <param name="Type">The format's name.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="IsExperts">Of a mixture of experts: each token goes to few of them.</param>
/// <param name="Columns">Values per row.</param>
public sealed record UnitWeights(string Type, double Bytes, bool IsExperts = false, double Columns = double.PositiveInfinity);

/// <summary>
/// A model as the planner sees it: a row of units that stages take contiguous runs of. The first is the embedding, the last is the
/// LM head, and those between are the layers.
/// </summary>
/// <param name="Units">What each unit multiplies with; the embedding nothing.</param>
public sealed record ModelUnits(IReadOnlyList<IReadOnlyList<UnitWeights>> Units)
{
    /// <summary>Bytes of all matrices.</summary>
    public double Bytes { get; } = Units.Sum(unit => unit.Sum(weights => weights.Bytes));

    /// <summary>The formats of all matrices.</summary>
    public IReadOnlyList<string> Types { get; } = [.. Units.SelectMany(unit => unit.Select(weights => weights.Type)).Distinct()];

    /// <summary>The units of a model; its header is enough.</summary>
    public static ModelUnits Of(ModelFile model)
    {
        var layers = model.Config.NumLayers;
        return new ModelUnits(
        [
            [],
            .. Enumerable.Range(0, layers).Select(layer => Of(model, layer, layer + 1, TensorRole.Repeating)),
            Of(model, layers, layers, TensorRole.Output),
        ]);
    }

    private static IReadOnlyList<UnitWeights> Of(ModelFile model, int first, int end, TensorRole role) =>
    [
        .. StageTensors.For(model, first, end, hasEmbedding: false, hasHead: role == TensorRole.Output)
            .Where(entry => entry.Role == role && entry.Tensor.Rows > 1)
            .GroupBy(entry => (entry.Tensor.Type.Name, entry.Tensor.Columns, IsExperts: entry.Tensor.Name.Contains("_exps.", StringComparison.Ordinal)))
            .Select(group => new UnitWeights(
                group.Key.Name, group.Sum(entry => (double)entry.Tensor.Bytes), group.Key.IsExperts, group.Key.Columns)),
    ];
}
