using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Distributed.Core.Gguf;

/// <summary>
/// The key-value pairs of a GGUF file. Values stay in the mapped file and are decoded when asked for, so a vocabulary costs
/// nothing until a tokenizer reads it. <c>Get…</c> throws <see cref="InvalidInputException"/> when the key is missing,
/// <c>TryGet…</c> gives false; both throw it when the value has another type or does not fit. Integers are read from any integer
/// type, floats from single or double. Keys are written out; those of the model's architecture come from <see cref="ArchKey"/>.
/// </summary>
public sealed class GgufMetadata
{
    private readonly OrderedDictionary<string, GgufValue> _values;

    internal GgufMetadata(string source, OrderedDictionary<string, GgufValue> values)
    {
        Source = source;
        _values = values;
    }

    /// <summary>The path of the file, for errors.</summary>
    public string Source { get; }

    /// <summary>All keys, in the file's order.</summary>
    public IReadOnlyList<string> Keys => _values.Keys;

    /// <summary><c>general.architecture</c>, e.g. <c>llama</c>.</summary>
    public string Architecture => GetString("general.architecture");

    /// <summary>The whole key of a fact of the architecture: <c>block_count</c> → <c>llama.block_count</c>.</summary>
    public string ArchKey(string name) => $"{Architecture}.{name}";

    /// <summary>Whether the file has the key.</summary>
    public bool Contains(string key) => _values.ContainsKey(key);

    /// <summary>Elements of an array; null when the key is missing or its value is no array.</summary>
    public int? ArrayLength(string key) => _values.GetValueOrDefault(key)?.Count;

    /// <summary>The type of a value, for listings: <c>Int32</c>, <c>Array of String</c>.</summary>
    public string TypeName(string key) => Require(key, "a value").TypeName;

    /// <summary>A value as text, for listings: an array by its length and its first elements.</summary>
    public string Format(string key, int maxElements = 8) => Require(key, "a value").Format(maxElements);

    /// <summary>A value of any type: a number, bool or string of .NET, or an array of one of these.</summary>
    public object GetValue(string key) => Require(key, "a value").Decode();

    /// <summary>A value where it lies in the file.</summary>
    internal GgufValue Raw(string key) => Require(key, "a value");

    /// <summary>A string; bytes that are no UTF-8 become U+FFFD.</summary>
    public string GetString(string key) => TryGetString(key, out var value) ? value : throw Missing(key, "a string");

    /// <summary>A string, where the key exists.</summary>
    public bool TryGetString(string key, [NotNullWhen(true)] out string? value)
    {
        if (!Find(key, out var found))
        {
            value = null;
            return false;
        }

        value = found is { Type: GgufValueType.String, Count: null } ? (string)found.Decode() : throw WrongType(key, found, "a string");
        return true;
    }

    /// <summary>A truth value.</summary>
    public bool GetBool(string key) => TryGetBool(key, out var value) ? value : throw Missing(key, "a bool");

    /// <summary>A truth value, where the key exists.</summary>
    public bool TryGetBool(string key, out bool value)
    {
        var exists = Find(key, out var found);
        value = exists && (Single(found!)?.Bool() ?? throw WrongType(key, found!, "a bool"));
        return exists;
    }

    /// <summary>An integer that fits 32 bits with a sign.</summary>
    public int GetInt32(string key) => TryGetInt32(key, out var value) ? value : throw Missing(key, "an integer");

    /// <summary>An integer that fits 32 bits with a sign, where the key exists.</summary>
    public bool TryGetInt32(string key, out int value)
    {
        var exists = TryGetInteger(key, int.MinValue, int.MaxValue, out var found);
        value = (int)found;
        return exists;
    }

    /// <summary>An integer that fits 32 bits without a sign.</summary>
    public uint GetUInt32(string key) => TryGetUInt32(key, out var value) ? value : throw Missing(key, "an integer");

    /// <summary>An integer that fits 32 bits without a sign, where the key exists.</summary>
    public bool TryGetUInt32(string key, out uint value)
    {
        var exists = TryGetInteger(key, uint.MinValue, uint.MaxValue, out var found);
        value = (uint)found;
        return exists;
    }

    /// <summary>An integer that fits 64 bits with a sign.</summary>
    public long GetInt64(string key) => TryGetInt64(key, out var value) ? value : throw Missing(key, "an integer");

    /// <summary>An integer that fits 64 bits with a sign, where the key exists.</summary>
    public bool TryGetInt64(string key, out long value) => TryGetInteger(key, long.MinValue, long.MaxValue, out value);

    /// <summary>A float; doubles are rounded.</summary>
    public float GetSingle(string key) => TryGetSingle(key, out var value) ? value : throw Missing(key, "a float");

    /// <summary>A float, where the key exists; doubles are rounded.</summary>
    public bool TryGetSingle(string key, out float value)
    {
        var exists = Find(key, out var found);
        value = exists ? (float)(Single(found!)?.Float() ?? throw WrongType(key, found!, "a float")) : 0;
        return exists;
    }

    /// <summary>An array of strings; bytes that are no UTF-8 become U+FFFD.</summary>
    public string[] GetStrings(string key) => Array.ConvertAll(GetStringBytes(key), Encoding.UTF8.GetString);

    /// <summary>An array of strings, as the bytes in the file.</summary>
    public byte[][] GetStringBytes(string key)
    {
        var found = Require(key, "an array of strings");
        return found is { Type: GgufValueType.String, Count: not null }
            ? found.Strings()
            : throw WrongType(key, found, "an array of strings");
    }

    /// <summary>An array of integers that fit 32 bits with a sign.</summary>
    public int[] GetInt32s(string key)
    {
        var found = Require(key, "an array of integers");
        return Elements(key, found, "an array of integers", i => (int?)Fit(key, found.Integer(i), int.MinValue, int.MaxValue));
    }

    /// <summary>An array of floats; doubles are rounded.</summary>
    public float[] GetSingles(string key)
    {
        var found = Require(key, "an array of floats");
        return Elements(key, found, "an array of floats", i => (float?)found.Float(i));
    }

    private T[] Elements<T>(string key, GgufValue found, string type, Func<int, T?> element) where T : struct
    {
        var values = new T[found.Count ?? throw WrongType(key, found, type)];
        for (var i = 0; i < values.Length; i++)
            values[i] = element(i) ?? throw WrongType(key, found, type);
        return values;
    }

    private bool TryGetInteger(string key, long min, long max, out long value)
    {
        var exists = Find(key, out var found);
        value = exists ? Fit(key, Single(found!)?.Integer(), min, max) ?? throw WrongType(key, found!, "an integer") : 0;
        return exists;
    }

    private long? Fit(string key, decimal? value, long min, long max) =>
        value is not { } found ? null
        : found >= min && found <= max ? (long)found
        : throw new InvalidInputException(key, $"{found}", $"must lie between {min} and {max}", Source);

    private bool Find(string key, [NotNullWhen(true)] out GgufValue? value) => _values.TryGetValue(key, out value);

    private GgufValue Require(string key, string type) => Find(key, out var value) ? value : throw Missing(key, type);

    private static GgufValue? Single(GgufValue value) => value.Count is null ? value : null;

    private InvalidInputException Missing(string key, string type) => new(key, null, $"is missing; it must be {type}", Source);

    private InvalidInputException WrongType(string key, GgufValue value, string type) =>
        new(key, $"{value.Format(4)} ({value.TypeName})", $"must be {type}", Source);
}
