using System.Diagnostics.CodeAnalysis;

namespace Distributed.Core.Gguf;

/// <summary>The type of a metadata value, by its number in the file.</summary>
[SuppressMessage("Naming", "CA1720:Identifier contains type name", Justification = "The types are what it names.")]
public enum GgufValueType
{
    /// <summary>An unsigned byte.</summary>
    UInt8 = 0,

    /// <summary>A signed byte.</summary>
    Int8 = 1,

    /// <summary>An unsigned 16-bit integer.</summary>
    UInt16 = 2,

    /// <summary>A signed 16-bit integer.</summary>
    Int16 = 3,

    /// <summary>An unsigned 32-bit integer.</summary>
    UInt32 = 4,

    /// <summary>A signed 32-bit integer.</summary>
    Int32 = 5,

    /// <summary>An IEEE single.</summary>
    Float32 = 6,

    /// <summary>A byte that is 0 or 1.</summary>
    Bool = 7,

    /// <summary>UTF-8 behind its length in bytes, an unsigned 64-bit integer.</summary>
    String = 8,

    /// <summary>Values of one other type behind that type and their count.</summary>
    Array = 9,

    /// <summary>An unsigned 64-bit integer.</summary>
    UInt64 = 10,

    /// <summary>A signed 64-bit integer.</summary>
    Int64 = 11,

    /// <summary>An IEEE double.</summary>
    Float64 = 12,
}

/// <summary>Facts of <see cref="GgufValueType"/>.</summary>
internal static class GgufValueTypes
{
    /// <summary>Bytes of one value; 0 for strings and arrays, whose size the file says.</summary>
    public static int Size(this GgufValueType type) => type switch
    {
        GgufValueType.UInt8 or GgufValueType.Int8 or GgufValueType.Bool => 1,
        GgufValueType.UInt16 or GgufValueType.Int16 => 2,
        GgufValueType.UInt32 or GgufValueType.Int32 or GgufValueType.Float32 => 4,
        GgufValueType.UInt64 or GgufValueType.Int64 or GgufValueType.Float64 => 8,
        _ => 0,
    };
}
