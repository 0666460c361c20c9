using System.Text;

namespace Distributed.Core.Tokenization;

/// <summary>
/// Turns a model's answer into text token by token. What comes out never ends in half a character: the bytes of one that is not
/// complete yet are held back. Special tokens are not printed. One instance serves one answer, on one thread at a time.
/// </summary>
public sealed class StreamingDecoder(Tokenizer tokenizer)
{
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private char[] _chars = new char[64];

    /// <summary>The text that is complete with this token; may be empty.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such token.</exception>
    public string Push(int id)
    {
        var bytes = tokenizer.TokenBytes(id).Span;
        return tokenizer.IsSpecial(id) ? "" : Convert(bytes, flush: false);
    }

    /// <summary>Ends the answer: bytes still held back, which are no character, become U+FFFD. The decoder may then be used anew.</summary>
    public string Flush() => Convert([], flush: true);

    private string Convert(ReadOnlySpan<byte> bytes, bool flush)
    {
        var needed = _utf8.GetCharCount(bytes, flush);
        if (needed > _chars.Length)
            _chars = new char[needed];
        return new string(_chars, 0, _utf8.GetChars(bytes, _chars, flush));
    }
}
