using System.Globalization;
using System.Text.Json;

namespace Distributed.Core.HuggingFace;

/// <summary>
/// The values of a <c>config.json</c>, or of an object inside it. What is wrong is noted, and a stand-in given that keeps what
/// follows from dividing by zero; a missing value and null are the same.
/// </summary>
/// <param name="json">The object.</param>
/// <param name="path">Its file, for errors.</param>
/// <param name="prefix">What errors put before a key: <c>rope_scaling.</c>.</param>
/// <param name="errors">Gets the errors.</param>
/// <param name="defaults">Values that files may leave out; null for none.</param>
internal sealed class ConfigValues(
    JsonElement json, string path, string prefix, List<InputError> errors, JsonElement? defaults = null)
{
    /// <summary>Whether there is a value.</summary>
    public bool Has(string key) => Find(key) is not null;

    /// <summary>The first of some keys that has a value; the first of all where none has.</summary>
    public string FirstOf(params ReadOnlySpan<string> keys)
    {
        foreach (var key in keys)
            if (Has(key))
                return key;
        return keys[0];
    }

    /// <summary>An integer from <paramref name="min"/> to <paramref name="max"/>.</summary>
    /// <param name="key">The key.</param>
    /// <param name="min">The least.</param>
    /// <param name="max">The most.</param>
    /// <param name="otherwise">What a missing one means; null if it must be there.</param>
    public int Int(string key, int min, int max, int? otherwise = null)
    {
        if (Find(key) is not { } value)
            return otherwise ?? Missing(key, "an integer", min);
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt64(out var number))
            return Wrong(key, "must be an integer", min);
        return number >= min && number <= max ? (int)number : Wrong(key, $"must lie between {min} and {max}", min);
    }

    /// <summary>A number from <paramref name="min"/> to <paramref name="max"/>, rounded to a single.</summary>
    /// <param name="key">The key.</param>
    /// <param name="min">The least.</param>
    /// <param name="max">The most.</param>
    /// <param name="otherwise">What a missing one means; null if it must be there.</param>
    public float Float(string key, float min, float max, float? otherwise = null)
    {
        if (Find(key) is not { } value)
            return otherwise ?? Missing(key, "a number", min);
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out var number))
            return Wrong(key, "must be a number", min);
        return (float)number >= min && (float)number <= max
            ? (float)number
            : Wrong(key, string.Create(CultureInfo.InvariantCulture, $"must lie between {min} and {max}"), min);
    }

    /// <summary>A positive factor; null where it is missing.</summary>
    public float? Factor(string key) => Has(key) ? Float(key, float.Epsilon, ModelLimits.MaxFactor) : null;

    /// <summary>A truth value; null where it is missing.</summary>
    public bool? Bool(string key) => Find(key) is not { } value ? null : value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => Wrong(key, "must be true or false", false),
    };

    /// <summary>A text; null where it is missing.</summary>
    public string? Text(string key) => Find(key) is not { } value ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString()
        : Wrong<string?>(key, "must be a string", null);

    /// <summary>The values of an object; null where it is missing.</summary>
    public ConfigValues? Object(string key) => Find(key) is not { } value ? null
        : value.ValueKind == JsonValueKind.Object ? new ConfigValues(value, path, $"{prefix}{key}.", errors)
        : Wrong<ConfigValues?>(key, "must be an object", null);

    /// <summary>The elements of an array; null where it is missing.</summary>
    /// <param name="key">The key.</param>
    /// <param name="rule">What the array must be, for the error.</param>
    /// <param name="read">Reads an element; null for one that it does not take.</param>
    public T[]? Array<T>(string key, string rule, Func<JsonElement, T?> read) where T : struct
    {
        if (Find(key) is not { } value)
            return null;
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > ModelLimits.MaxArray)
            return Wrong<T[]?>(key, rule, null);
        var elements = value.EnumerateArray().Select(read).ToList();
        return elements.TrueForAll(element => element is not null)
            ? [.. elements.Select(element => element!.Value)]
            : Wrong<T[]?>(key, rule, null);
    }

    /// <summary>Notes that a value breaks a rule.</summary>
    public void Fail(string key, string rule) => errors.Add(new InputError(prefix + key, Find(key)?.GetRawText(), rule, path));

    private JsonElement? Find(string key) => json.Find(key) ?? defaults?.Find(key);

    private T Missing<T>(string key, string type, T standIn)
    {
        errors.Add(new InputError(prefix + key, null, $"is missing; it must be {type}", path));
        return standIn;
    }

    private T Wrong<T>(string key, string rule, T standIn)
    {
        Fail(key, rule);
        return standIn;
    }
}
