namespace Distributed.Core.Quantization;

/// <summary>
/// What a model is quantised to as a whole: a format for most of its matrices, and which of them get a better one
/// (<see cref="TensorTypes"/>).
/// </summary>
/// <param name="Name">The name the field uses, e.g. <c>Q4_K_M</c>.</param>
/// <param name="Id">The number that stands for it in <c>general.file_type</c>.</param>
/// <param name="Base">The format of most matrices.</param>
public sealed record FileType(string Name, int Id, QuantType Base)
{
    private static readonly Dictionary<string, string> ShortNames = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Q4_K"] = "Q4_K_M",
        ["Q5_K"] = "Q5_K_M",
    };

    /// <summary>Every type this build writes, the smallest first.</summary>
    public static IReadOnlyList<FileType> All { get; } =
    [
        new("Q4_0", 2, Q4_0.Type),
        new("Q4_K_S", 14, Q4_K.Type),
        new("Q4_K_M", 15, Q4_K.Type),
        new("Q4_1", 3, Q4_1.Type),
        new("Q5_0", 8, Q5_0.Type),
        new("Q5_K_S", 16, Q5_K.Type),
        new("Q5_K_M", 17, Q5_K.Type),
        new("Q5_1", 9, Q5_1.Type),
        new("Q6_K", 18, Q6_K.Type),
        new("Q8_0", 7, Q8_0.Type),
        new("BF16", 32, BF16.Type),
        new("F16", 1, F16.Type),
        new("F32", 0, F32.Type),
    ];

    /// <summary>The rule that a name in no row breaks.</summary>
    public static string Rule => $"must be one of {string.Join(", ", All.Select(type => type.Name))}";

    /// <summary>The type of a name, in any case; <c>Q4_K</c> and <c>Q5_K</c> stand for their medium mixes. Null for none.</summary>
    public static FileType? Find(string name)
    {
        var full = ShortNames.GetValueOrDefault(name, name);
        return All.FirstOrDefault(type => string.Equals(type.Name, full, StringComparison.OrdinalIgnoreCase));
    }

    /// <inheritdoc/>
    public override string ToString() => Name;
}
