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
    /// <summary>Bytes that <paramref name="values"/> keys (or values) of one token take; Q8_0 needs a multiple of 32.</summary>
    public static long Bytes(this KvType type, long values) => type switch
    {
        KvType.F32 => values * sizeof(float),
        KvType.F16 => values * sizeof(ushort),
        KvType.Q8_0 => values / 32 * 34,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };
}
