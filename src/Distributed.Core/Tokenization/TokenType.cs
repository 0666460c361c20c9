namespace Distributed.Core.Tokenization;

/// <summary>What kind of token it is; the numbers are those of <c>tokenizer.ggml.token_type</c>.</summary>
public enum TokenType
{
    /// <summary>Not said.</summary>
    Undefined = 0,

    /// <summary>Text.</summary>
    Normal = 1,

    /// <summary>Stands for what the vocabulary cannot write.</summary>
    Unknown = 2,

    /// <summary>Steers the model, as <c>&lt;|im_end|&gt;</c> does; never read from plain text, never printed.</summary>
    Control = 3,

    /// <summary>Text that is found before all else, in plain text too.</summary>
    UserDefined = 4,

    /// <summary>A place kept free.</summary>
    Unused = 5,

    /// <summary>One byte, written <c>&lt;0x0A&gt;</c>.</summary>
    Byte = 6,
}
