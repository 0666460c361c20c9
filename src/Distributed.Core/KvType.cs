namespace Distributed.Core;

/// <summary>The format of keys and values in the KV cache.</summary>
public enum KvType
{
    /// <summary>Half precision, the default.</summary>
    F16,

    /// <summary>Single precision: exact to what the layer computed.</summary>
    F32,

    /// <summary>Blocks of 32 signed bytes with a half-precision scale.</summary>
    Q8_0,
}

/// <summary>Sizes of <see cref="KvType"/>.</summary>
public static class KvTypes
{
    /// <summary>The type by the name that flags, files and messages use; null when there is none.</summary>
    public static KvType? TryParse(string name) => name switch
    {
        "f32" => KvType.F32,
        "f16" => KvType.F16,
        "q8_0" => KvType.Q8_0,
        _ => null,
    };

    /// <summary>The name that <see cref="TryParse"/> reads.</summary>
    public static string ToName(this KvType type) => type switch
    {
        KvType.F32 => "f32",
        KvType.F16 => "f16",
        KvType.Q8_0 => "q8_0",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    /// <summary>Why keys of a head cannot be kept in this type; null when they can. The error's key is <c>kv-type</c>.</summary>
    /// <param name="type">The type.</param>
    /// <param name="headDim">Values per head.</param>
    public static InputError? Error(this KvType type, int headDim) => type != KvType.Q8_0 || headDim % 32 == 0
        ? null
        : new InputError("kv-type", type.ToName(), $"needs a head size that is a multiple of 32; the model's is {headDim}");

    /// <summary>Bytes that <paramref name="values"/> keys (or values) of one token take; Q8_0 needs a multiple of 32.</summary>
    public static long Bytes(this KvType type, long values) => type switch
    {
        KvType.F32 => values * sizeof(float),
        KvType.F16 => values * sizeof(ushort),
        KvType.Q8_0 => values / 32 * 34,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };
}
