namespace Distributed.Core;

/// <summary>Which stages need a tensor.</summary>
public enum TensorRole
{
    /// <summary>The first stage: the token embedding.</summary>
    Input,

    /// <summary>The stage of its layer.</summary>
    Repeating,

    /// <summary>The last stage: the final norm and the output matrix.</summary>
    Output,

    /// <summary>Every stage with layers.</summary>
    Shared,
}

/// <summary>A tensor that an architecture has.</summary>
/// <param name="Role">Which stages need it.</param>
/// <param name="Name">Its name; of a repeating one without <c>blk.N.</c>.</param>
/// <param name="Shape">Its dimensions in a model, a row's length first.</param>
/// <param name="IsOptional">A file may leave it out.</param>
/// <param name="Substitute">The tensor that serves in its place where a file leaves it out; null for none.</param>
/// <param name="When">Which models have it; null for all.</param>
/// <param name="FusedIn">The tensor that may hold it as a part, by its name without <c>blk.N.</c>; null for none.</param>
/// <param name="Parts">For a matrix that holds several one after the other: their names and rows; null for a single one.</param>
public sealed record TensorSpec(
    TensorRole Role, string Name, Func<ModelConfig, long[]> Shape, bool IsOptional = false, string? Substitute = null,
    Func<ModelConfig, bool>? When = null, string? FusedIn = null, Func<ModelConfig, (string Name, long Rows)[]>? Parts = null)
{
    /// <summary>The name in the file.</summary>
    /// <param name="layer">The layer of a repeating one; others ignore it.</param>
    public string NameIn(int layer) => Role == TensorRole.Repeating ? $"blk.{layer}.{Name}" : Name;

    /// <summary>The name in the file of the tensor that may hold it as a part; null for none.</summary>
    /// <param name="layer">The layer of a repeating one; others ignore it.</param>
    public string? FusedNameIn(int layer) => FusedIn is null ? null : (this with { Name = FusedIn }).NameIn(layer);

    /// <summary>The parts of a tensor of the file as tensors of their own, where they lie in it; itself where it has none.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="config">The model's shape.</param>
    /// <param name="layer">The layer of a repeating one; others ignore it.</param>
    public IEnumerable<Tensor> Split(Tensor tensor, ModelConfig config, int layer)
    {
        if (Parts is null)
        {
            yield return tensor;
            yield break;
        }
        var first = 0L;
        foreach (var (name, rows) in Parts(config))
        {
            yield return tensor.RowRange((this with { Name = name }).NameIn(layer), first, rows);
            first += rows;
        }
    }
}
