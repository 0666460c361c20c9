using System.Text;
using Distributed.Coordinator.Scheduling;

namespace Distributed.Coordinator.Api;

/// <summary>Puts the answer to one chat completion request into OpenAI's words.</summary>
internal sealed class ChatResponse(CoordinatorHost host, ChatCall call, TextGeneration generation)
{
    private readonly string _id = $"chatcmpl-{Guid.NewGuid():N}";
    private readonly long _created = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
    private readonly string _model = ServedModel.IdOf(host.Model);

    /// <summary>The whole answer.</summary>
    public ChatCompletion Whole(string text, IReadOnlyList<TokenProbability> probabilities)
    {
        var choice = new ChatChoice(0, Finish(generation.FinishReason))
        {
            Message = new ChatAnswer { Role = "assistant", Content = text },
            LogProbs = Wrap(probabilities),
        };
        return new(_id, "chat.completion", _created, _model, [choice]) { Usage = Usage(), Distributed = Timings() };
    }

    /// <summary>The first piece of a stream, before any text.</summary>
    public ChatCompletion Start() => Chunk(new ChatChoice(0, null) { Delta = new ChatAnswer { Role = "assistant", Content = "" } });

    /// <summary>A piece of text; null when there is nothing to tell.</summary>
    public ChatCompletion? Piece(GeneratedText piece)
    {
        var probabilities = Probabilities(piece.Token).ToList();
        return piece.Text.Length == 0 && probabilities.Count == 0
            ? null
            : Chunk(new ChatChoice(0, null) { Delta = new ChatAnswer { Content = piece.Text }, LogProbs = Wrap(probabilities) });
    }

    /// <summary>The last piece of a stream, behind all text.</summary>
    public ChatCompletion End()
    {
        var end = Chunk(new ChatChoice(0, Finish(generation.FinishReason)) { Delta = new ChatAnswer() });
        return call.IncludeUsage ? end : end with { Distributed = Timings() };
    }

    /// <summary>The counts behind the last piece, for those who ask for them.</summary>
    public ChatCompletion Counts() => Chunk() with { Usage = Usage(), Distributed = Timings() };

    /// <summary>A token's log-probabilities, where they are wanted. Tokens without text have none.</summary>
    public IEnumerable<TokenProbability> Probabilities(GeneratedToken token)
    {
        if (call.TopLogProbs is not null && token.FinishReason is not FinishReason.EndOfGeneration)
        {
            yield return Probability(token.Id, token.LogProb) with
            {
                Top = [.. token.Top.Select(top => Probability(top.Token, top.LogProb))],
            };
        }
    }

    private ChatCompletion Chunk(params ChatChoice[] choices) => new(_id, "chat.completion.chunk", _created, _model, choices);

    private LogProbs? Wrap(IReadOnlyList<TokenProbability> probabilities) => call.TopLogProbs is null ? null : new LogProbs(probabilities);

    private TokenProbability Probability(int token, float logProb)
    {
        var bytes = host.Tokenizer.TokenBytes(token);
        return new TokenProbability(Encoding.UTF8.GetString(bytes.Span), logProb, [.. bytes.ToArray()]);
    }

    private static string? Finish(FinishReason? reason) => reason switch
    {
        FinishReason.EndOfGeneration or FinishReason.StopText => "stop",
        FinishReason.Length => "length",
        _ => null,
    };

    private Usage Usage()
    {
        var statistics = generation.Statistics;
        return new Usage(
            statistics.PromptTokens,
            statistics.GeneratedTokens,
            statistics.PromptTokens + statistics.GeneratedTokens,
            new PromptTokensDetails(statistics.ReusedTokens));
    }

    private Timings Timings()
    {
        var statistics = generation.Statistics;
        var stages = statistics.Placement.Stages;
        return new Timings(
            Round(statistics.WaitingTime.TotalMilliseconds),
            Round(statistics.PrefillTime.TotalMilliseconds),
            Round(statistics.PrefillTokensPerSecond),
            Round(statistics.DecodeTime.TotalMilliseconds),
            Round(statistics.DecodeTokensPerSecond),
            [.. statistics.Stages.Select(stage => new StageTimings(
                stage.Stage, stages[stage.Stage].Worker, stages[stage.Stage].Device, Round(stage.QueueMs), Round(stage.ComputeMs)))],
            [.. statistics.Hops.Select(hop => new HopTimings(
                hop.Index < stages.Count ? stages[hop.Index].Worker : "coordinator",
                Round(hop.SerializeMs),
                Round(hop.WireMs),
                Round(hop.DeserializeMs)))]);
    }

    private static double Round(double value) => Math.Round(value, 3);
}
