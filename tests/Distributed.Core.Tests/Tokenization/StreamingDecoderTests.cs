using System.Text;
using Distributed.Core.Gguf;
using Distributed.Core.Tokenization;
using Distributed.Testing;

namespace Distributed.Core.Tests.Tokenization;

public sealed class StreamingDecoderTests
{
    // Each of its first 256 tokens is one byte.
    private static readonly Tokenizer Crossing = Open(Golden.Path("tokenizers/crossing.gguf"));

    [Fact]
    public void Bytes_of_one_character_come_out_together()
    {
        var decoder = new StreamingDecoder(Crossing);
        Assert.Equal(["", "", "", "😀"], Encoding.UTF8.GetBytes("😀").Select(value => decoder.Push(value)));
        Assert.Equal("", decoder.Flush());
    }

    [Fact]
    public void Half_a_character_at_the_end_becomes_the_replacement_character()
    {
        var decoder = new StreamingDecoder(Crossing);
        Assert.Equal("", decoder.Push(0xF0) + decoder.Push(0x9F));
        Assert.Equal("\uFFFD", decoder.Flush());
        Assert.Equal("", decoder.Flush());
        Assert.Equal("a", decoder.Push('a'));
    }

    [Fact]
    public void Special_tokens_are_not_printed()
    {
        var decoder = new StreamingDecoder(Crossing);
        var ids = Crossing.Encode("<|im_start|>user\nHi<|im_end|>", special: true);
        Assert.Contains(Crossing.FindSpecial("<|im_end|>")!.Value, ids);
        Assert.Equal("user\nHi", string.Concat(ids.Select(decoder.Push)) + decoder.Flush());
    }

    [Fact]
    public void Text_of_any_tokens_is_that_of_decoding_them_at_once() =>
        Gen.Int[0, Crossing.FindSpecial("<|endoftext|>")!.Value - 1].Array[0, 40].Sample(ids =>
        {
            var decoder = new StreamingDecoder(Crossing);
            var text = string.Concat(ids.Select(decoder.Push));
            return text + decoder.Flush() == Crossing.Decode(ids);
        });

    [Fact]
    public void Text_of_any_text_is_that_text() => Gen.String.Sample(text =>
    {
        var decoder = new StreamingDecoder(Crossing);
        var wellFormed = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
        var parts = Crossing.Encode(text).Select(decoder.Push).ToArray();
        return string.Concat(parts) == wellFormed && parts.All(part => part.Length == 0 || !char.IsHighSurrogate(part[^1]));
    });

    private static Tokenizer Open(string path)
    {
        using var file = GgufFile.Open(path);
        return Tokenizer.FromVocabulary(file.ReadVocabulary());
    }
}
