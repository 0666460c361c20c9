namespace Distributed.Core;

/// <summary>One thing wrong with what came from outside: a model file, a cluster file, a flag, a request.</summary>
/// <param name="Key">What is wrong, as its author wrote it: <c>llama.block_count</c>, <c>workers[1].address</c>, <c>--top-p</c>.</param>
/// <param name="Value">The value found, shortened to something printable; null when the key is missing.</param>
/// <param name="Rule">The rule it breaks, as a phrase that follows the value: "must lie between 1 and 512".</param>
/// <param name="Source">The file it stands in; null where there is none.</param>
/// <param name="Line">The line in <paramref name="Source"/>, from 1; null where lines mean nothing.</param>
public sealed record InputError(string Key, string? Value, string Rule, string? Source = null, int? Line = null)
{
    /// <summary>The longest value that is printed whole, in characters.</summary>
    public const int MaxValueLength = 120;

    /// <inheritdoc/>
    public override string ToString()
    {
        var where = Source is null ? "" : Line is null ? $"{Source}: " : $"{Source}:{Line}: ";
        // Keys come from outside too: the names of tensors, the tokens of a vocabulary.
        return Value is null ? $"{where}{Shorten(Key)}: {Rule}" : $"{where}{Shorten(Key)} is {(Value.Length == 0 ? "\"\"" : Shorten(Value))}: {Rule}";
    }

    /// <summary>A text from outside as errors show it: at most <see cref="MaxValueLength"/> characters, none of them control characters.</summary>
    internal static string Shorten(string value)
    {
        var printable = string.Create(Math.Min(value.Length, MaxValueLength), value, (span, text) =>
        {
            for (var i = 0; i < span.Length; i++)
                span[i] = char.IsControl(text[i]) ? '\uFFFD' : text[i];
        });
        return value.Length > MaxValueLength ? $"{printable}… ({value.Length} characters)" : printable;
    }
}

/// <summary>Input from outside breaks a rule. Carries every error found, not only the first; the command line exits with 2.</summary>
public sealed class InvalidInputException : Exception
{
    /// <param name="errors">At least one error.</param>
    public InvalidInputException(IReadOnlyList<InputError> errors)
        : base(string.Join(Environment.NewLine, errors)) => Errors = errors;

    /// <summary>A single error; the parameters are those of <see cref="InputError"/>.</summary>
    public InvalidInputException(string key, string? value, string rule, string? source = null)
        : this([new InputError(key, value, rule, source)])
    {
    }

    /// <summary>All errors, in the order found.</summary>
    public IReadOnlyList<InputError> Errors { get; }
}
