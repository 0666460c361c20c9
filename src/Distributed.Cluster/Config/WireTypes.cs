using Distributed.Core;
using Distributed.Core.Quantization;

namespace Distributed.Cluster.Config;

/// <summary>The format of hidden states on the way from one worker to the next.</summary>
public enum WireType
{
    /// <summary>Single precision: exact.</summary>
    F32,

    /// <summary>Half precision: half the bytes, some three digits.</summary>
    F16,

    /// <summary>Blocks of 32 signed bytes with a half-precision scale: about a quarter of the bytes.</summary>
    Q8_0,
}

/// <summary>The formats by name, and what they do.</summary>
public static class WireTypes
{
    private static readonly (string Name, WireType Type, QuantType Format)[] Table =
    [
        ("f32", WireType.F32, F32.Type),
        ("f16", WireType.F16, F16.Type),
        ("q8_0", WireType.Q8_0, Q8_0.Type),
    ];

    /// <summary>The names that flags, files and messages use, and what they mean.</summary>
    public static IReadOnlyDictionary<string, WireType> ByName { get; } = Table.ToDictionary(row => row.Name, row => row.Type);

    /// <summary>The name that stands for the type.</summary>
    public static string ToName(this WireType type) => Table[(int)type].Name;

    /// <summary>Why hidden states of this size cannot be sent in this format; null when they can. The error's key is <c>wire</c>.</summary>
    public static InputError? Error(this WireType type, int hiddenSize) => hiddenSize % type.Format().BlockLength == 0
        ? null
        : new InputError(
            "wire", type.ToName(), $"needs a hidden size that is a multiple of {type.Format().BlockLength}; the model's is {hiddenSize}");

    internal static QuantType Format(this WireType type) => Table[(int)type].Format;
}
