namespace Distributed.Core.Quantization;

/// <summary>The table of formats this build reads.</summary>
public static class QuantTypes
{
    /// <summary>Every format, in the order of their GGUF numbers.</summary>
    public static IReadOnlyList<QuantType> All { get; } =
    [
        F32.Type, F16.Type, Q4_0.Type, Q4_1.Type, Q5_0.Type, Q5_1.Type, Q8_0.Type, Q2_K.Type, Q3_K.Type, Q4_K.Type, Q5_K.Type,
        Q6_K.Type, IQ2_XXS.Type, IQ2_XS.Type, IQ3_XXS.Type, IQ1_S.Type, IQ4_NL.Type, IQ3_S.Type, IQ2_S.Type, IQ4_XS.Type, IQ1_M.Type,
        BF16.Type, TQ1_0.Type, TQ2_0.Type, MXFP4.Type, NVFP4.Type, Q1_0.Type, Q2_0.Type,
    ];

    /// <summary>The names of all formats, for messages.</summary>
    public static string Names => string.Join(", ", All.Select(type => type.Name));

    /// <summary>The format with a GGUF number; null when this build does not read it.</summary>
    public static QuantType? Find(uint id) => All.FirstOrDefault(type => type.GgmlId == id);

    /// <summary>The format with a GGUF number.</summary>
    /// <param name="id">The number.</param>
    /// <param name="key">The key of the error, e.g. the tensor's name.</param>
    /// <exception cref="InvalidInputException">This build does not read it; the error says which it does.</exception>
    public static QuantType ById(uint id, string key = "type") =>
        Find(id) ?? throw new InvalidInputException(key, Describe(id), NotRead);

    /// <summary>The format of a name, in any case: <c>q4_k</c>.</summary>
    /// <param name="name">The name.</param>
    /// <param name="key">The key of the error, e.g. a flag.</param>
    /// <exception cref="InvalidInputException">There is none; the error says which there are.</exception>
    public static QuantType ByName(string name, string key = "type") =>
        All.FirstOrDefault(type => string.Equals(type.Name, name, StringComparison.OrdinalIgnoreCase))
        ?? throw new InvalidInputException(key, name, $"must be one of {Names}");

    /// <summary>What a number stands for, as a value in an error: <c>type 6 (Q5_0)</c>.</summary>
    internal static string Describe(uint id) => GgmlTypeNames.Find(id) is { } name ? $"type {id} ({name})" : $"type {id}";

    /// <summary>The rule that a format without a row breaks.</summary>
    internal static string NotRead => $"is not a type this build reads: {Names}";
}
