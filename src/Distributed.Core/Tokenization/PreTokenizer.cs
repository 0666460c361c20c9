using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Distributed.Core.Tokenization;

/// <summary>Cuts a text into the words inside which byte-level BPE merges, and the habits that go with a way of cutting.</summary>
/// <param name="name">As in <c>tokenizer.ggml.pre</c>.</param>
/// <param name="patterns">
/// Each pattern cuts every piece that the ones before it left: each match is a piece, and so is what lies between two matches.
/// A character outside the Basic Multilingual Plane is one character to them (see <see cref="Flatten"/>).
/// </param>
internal sealed class PreTokenizer(string name, params string[] patterns)
{
    private readonly Lazy<Regex[]> _patterns = new(() =>
        [.. patterns.Select(pattern => new Regex(pattern, RegexOptions.CultureInvariant | RegexOptions.Compiled))]);

    /// <summary>As in <c>tokenizer.ggml.pre</c>.</summary>
    public string Name => name;

    /// <summary>A word that is itself a token is taken whole, whatever the merges say.</summary>
    public bool TakesWholeTokens { get; init; }

    /// <summary>BOS goes in front unless the file says otherwise.</summary>
    public bool AddsBos { get; init; }

    /// <summary>The models have no BOS, whatever the file says.</summary>
    public bool HasNoBos { get; init; }

    /// <summary>Spaces before punctuation are taken out when whole texts are put together again (Hugging Face's clean-up).</summary>
    public bool CleansSpaces { get; init; }

    /// <summary>Cuts <paramref name="text"/>; <paramref name="ends"/> gets the end of each piece, in order.</summary>
    public void Cut(ReadOnlySpan<char> text, List<int> ends)
    {
        ends.Clear();
        if (text.IsEmpty)
            return;
        if (text.IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
        {
            CutFlat(text, ends);
            return;
        }

        var flat = ArrayPool<char>.Shared.Rent(text.Length);
        var starts = ArrayPool<int>.Shared.Rent(text.Length + 1);
        var length = Flatten(text, flat, starts);
        CutFlat(flat.AsSpan(0, length), ends);
        for (var i = 0; i < ends.Count; i++)
            ends[i] = starts[ends[i]];
        ArrayPool<char>.Shared.Return(flat);
        ArrayPool<int>.Shared.Return(starts);
    }

    private void CutFlat(ReadOnlySpan<char> text, List<int> ends)
    {
        ends.Add(text.Length);
        var pieces = new List<int>();
        foreach (var pattern in _patterns.Value)
        {
            pieces.Clear();
            pieces.AddRange(ends);
            ends.Clear();
            var start = 0;
            foreach (var end in pieces)
            {
                var done = start;
                foreach (var match in pattern.EnumerateMatches(text[start..end]))
                {
                    if (start + match.Index > done)
                        ends.Add(start + match.Index);
                    done = start + match.Index + match.Length;
                    ends.Add(done);
                }
                if (done < end)
                    ends.Add(end);
                start = end;
            }
        }
    }

    /// <summary>
    /// .NET's patterns see two surrogates where the tokenizers' see one character, so each such pair becomes one character of
    /// the same category that no pattern names, or that stands in the same range of those that do.
    /// </summary>
    /// <param name="text">Well-formed UTF-16.</param>
    /// <param name="flat">Gets one character for each code point.</param>
    /// <param name="starts">Gets where each of them starts in <paramref name="text"/>, and last the text's length.</param>
    /// <returns>The number of code points.</returns>
    private static int Flatten(ReadOnlySpan<char> text, char[] flat, int[] starts)
    {
        var (count, at) = (0, 0);
        foreach (var rune in text.EnumerateRunes())
        {
            flat[count] = rune.IsBmp ? (char)rune.Value : StandIn(rune);
            starts[count++] = at;
            at += rune.Utf16SequenceLength;
        }
        starts[count] = at;
        return count;
    }

    private static char StandIn(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        _ when PreTokenizers.IsDeepSeekLetter(rune.Value) => 'À',
        UnicodeCategory.OtherLetter when PreTokenizers.IsHan(rune.Value) => '\uF900',
        <= UnicodeCategory.OtherLetter => 'ª',
        UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark => '\u0300',
        UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => '²',
        >= UnicodeCategory.ConnectorPunctuation and <= UnicodeCategory.OtherPunctuation => '¡',
        >= UnicodeCategory.MathSymbol and <= UnicodeCategory.OtherSymbol => '¢',
        _ => '\u00AD',
    };
}
