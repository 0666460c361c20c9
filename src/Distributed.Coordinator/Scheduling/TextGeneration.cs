using Distributed.Core.Tokenization;

namespace Distributed.Coordinator.Scheduling;

/// <summary>A piece of an answer: one token and the text that is complete with it.</summary>
/// <param name="Text">
/// May be empty: half a character, the beginning of what may become a stop text, or a special token. May also hold text of
/// earlier tokens that was held back.
/// </param>
/// <param name="Token">The token.</param>
public sealed record GeneratedText(string Text, GeneratedToken Token);

/// <summary>
/// A request's answer as text, piece by piece. Like <see cref="Generation"/> it can be enumerated once, and ends when that is left.
/// </summary>
public sealed class TextGeneration : IAsyncEnumerable<GeneratedText>
{
    private readonly Generation _generation;
    private readonly StreamingDecoder _decoder;
    private readonly StopMatcher _matcher;

    /// <param name="generation">The tokens.</param>
    /// <param name="tokenizer">Turns them into text.</param>
    /// <param name="stop">Texts at which the answer ends; they are not part of it.</param>
    /// <exception cref="Core.InvalidInputException">A stop text is empty.</exception>
    public TextGeneration(Generation generation, Tokenizer tokenizer, IReadOnlyList<string> stop)
    {
        _generation = generation;
        _decoder = new StreamingDecoder(tokenizer);
        _matcher = new StopMatcher(stop);
    }

    /// <summary>Where the time goes; complete when the enumeration has ended.</summary>
    public GenerationStatistics Statistics => _generation.Statistics;

    /// <summary>Why it ended; null while it goes on, and when its consumer ended it.</summary>
    public FinishReason? FinishReason => _matcher.Stopped is not null ? Scheduling.FinishReason.StopText : _generation.FinishReason;

    /// <inheritdoc/>
    public async IAsyncEnumerator<GeneratedText> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        await foreach (var token in _generation.WithCancellation(cancellationToken))
        {
            var text = _matcher.Push(_decoder.Push(token.Id));
            if (token.FinishReason is not null)
                text += _matcher.Push(_decoder.Flush()) + _matcher.Flush();
            yield return new GeneratedText(text, FinishReason == token.FinishReason ? token : token with { FinishReason = FinishReason });
            if (_matcher.Stopped is not null)
                yield break;
        }
    }
}
