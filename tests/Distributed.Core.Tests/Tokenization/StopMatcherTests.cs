using Distributed.Core.Tokenization;

namespace Distributed.Core.Tests.Tokenization;

public sealed class StopMatcherTests
{
    [Fact]
    public void Stop_text_and_what_follows_do_not_come_out()
    {
        var matcher = new StopMatcher(["END"]);
        Assert.Equal("one E,", matcher.Push("one E,"));
        Assert.Equal(" two ", matcher.Push(" two EN"));
        Assert.Equal("", matcher.Push("D three"));
        Assert.Equal("END", matcher.Stopped);
        Assert.Equal("", matcher.Push("four"));
        Assert.Equal("", matcher.Flush());
    }

    [Fact]
    public void Beginning_of_a_stop_text_that_is_none_comes_out_after_all()
    {
        var matcher = new StopMatcher(["aab"]);
        Assert.Equal("", matcher.Push("aa"));
        Assert.Equal("a", matcher.Push("a"));
        Assert.Equal("aac", matcher.Push("c"));
        Assert.Equal("", matcher.Push("aa"));
        Assert.Equal("aa", matcher.Flush());
        Assert.Null(matcher.Stopped);
    }

    [Fact]
    public void Stop_text_that_is_complete_first_counts_and_the_longest_of_those()
    {
        var matcher = new StopMatcher(["b", "abcd", "ab"]);
        Assert.Equal("x", matcher.Push("xabcd"));
        Assert.Equal("ab", matcher.Stopped);
    }

    [Fact]
    public void Without_stop_texts_all_comes_out_at_once() => Assert.Equal("text", new StopMatcher([]).Push("text"));

    [Fact]
    public void Empty_stop_text_is_refused()
    {
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => new StopMatcher(["a", ""])).Errors);
        Assert.Equal("stop[1]", error.Key);
    }

    [Fact]
    public void Cuts_of_the_stream_make_no_difference()
    {
        var letters = Gen.Char["ab"];
        var cases = Gen.Select(Gen.String[letters, 0, 30], Gen.String[letters, 1, 5].Array[0, 3], Gen.Int[1, 6].Array[1, 30]);
        cases.Sample((text, stops, lengths) =>
        {
            var whole = new StopMatcher(stops);
            var expected = whole.Push(text) + whole.Flush();

            var cut = new StopMatcher(stops);
            var actual = "";
            var at = 0;
            for (var i = 0; at < text.Length; i++)
            {
                var length = Math.Min(lengths[i % lengths.Length], text.Length - at);
                actual += cut.Push(text.Substring(at, length));
                at += length;
            }
            actual += cut.Flush();
            return actual == expected && cut.Stopped == whole.Stopped
                && !stops.Any(stop => actual.Contains(stop, StringComparison.Ordinal))
                && (whole.Stopped is not null || actual == text);
        });
    }
}
