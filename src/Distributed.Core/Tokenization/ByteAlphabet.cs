namespace Distributed.Core.Tokenization;

/// <summary>
/// The printable characters that byte-level BPE vocabularies write bytes with (Radford et al. 2019, GPT-2): printable Latin-1
/// bytes stand for themselves, the other 68 are numbered from U+0100.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Chars = MakeChars();
    private static readonly Dictionary<char, byte> Bytes = Enumerable.Range(0, 256).ToDictionary(b => Chars[b], b => (byte)b);

    /// <summary>The character of a byte.</summary>
    public static char CharOf(byte value) => Chars[value];

    /// <summary>The bytes that a token's characters stand for; characters outside the alphabet stand for themselves.</summary>
    public static byte[] Decode(string token)
    {
        var bytes = new List<byte>(token.Length);
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in token.EnumerateRunes())
        {
            if (rune.IsBmp && Bytes.TryGetValue((char)rune.Value, out var value))
                bytes.Add(value);
            else
                bytes.AddRange(utf8[..rune.EncodeToUtf8(utf8)]);
        }
        return [.. bytes];
    }

    private static char[] MakeChars()
    {
        var chars = new char[256];
        var next = (char)0x100;
        for (var b = 0; b < 256; b++)
            chars[b] = b is (>= 0x21 and <= 0x7E) or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF) ? (char)b : next++;
        return chars;
    }
}
