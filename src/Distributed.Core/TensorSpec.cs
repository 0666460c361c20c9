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
public sealed record TensorSpec(
    TensorRole Role, string Name, Func<ModelConfig, long[]> Shape, bool IsOptional = false, string? Substitute = null)
{
    /// <summary>The name in the file.</summary>
    /// <param name="layer">The layer of a repeating one; others ignore it.</param>
    public string NameIn(int layer) => Role == TensorRole.Repeating ? $"blk.{layer}.{Name}" : Name;
}
