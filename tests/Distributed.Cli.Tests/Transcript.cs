using System.Text;
using System.Text.RegularExpressions;

namespace Distributed.Cli.Tests;

/// <summary>What has come out of a stream so far, for tests that act in the middle of it.</summary>
internal sealed class Transcript
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(10);

    private readonly StringBuilder _text = new();
    private readonly Task _reading;

    public Transcript(StreamReader reader) => _reading = ReadAsync(reader);

    /// <summary>Everything so far.</summary>
    public string Text
    {
        get
        {
            lock (_text)
                return _text.ToString();
        }
    }

    /// <summary>Waits until something matches; that match.</summary>
    public async Task<Match> SeeAsync(Regex pattern, TimeSpan patience)
    {
        using var timeout = new CancellationTokenSource(patience);
        while (true)
        {
            var ended = _reading.IsCompleted;
            var match = pattern.Match(Text);
            if (match.Success)
                return match;
            Assert.False(ended || timeout.IsCancellationRequested, $"'{pattern}' did not come; there is:\n{Text}");
            await Task.Delay(Poll);
        }
    }

    /// <summary>Everything, once the stream has ended.</summary>
    public async Task<string> AllAsync(TimeSpan patience)
    {
        await _reading.WaitAsync(patience);
        return Text;
    }

    private async Task ReadAsync(StreamReader reader)
    {
        var buffer = new char[1024];
        while (await reader.ReadAsync(buffer) is > 0 and var count)
        {
            lock (_text)
                _text.Append(buffer, 0, count);
        }
    }
}
