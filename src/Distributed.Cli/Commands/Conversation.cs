using Distributed.Cli.Output;
using Distributed.Coordinator;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;
using Distributed.Core.Chat;
using Distributed.Core.Sampling;

namespace Distributed.Cli.Commands;

/// <summary>Questions and answers on a terminal: one, or a chat whose KV cache is kept from turn to turn.</summary>
internal sealed class Conversation(Terminal terminal, CoordinatorHost coordinator)
{
    private const string Help = "/clear begins anew, /bye or Ctrl-D ends, Ctrl-C stops an answer";
    private readonly string _session = $"chat-{Guid.NewGuid():N}";
    private readonly List<ChatMessage> _messages = [];

    /// <summary>Give the model the bare text of a prompt, without a chat template.</summary>
    public bool Raw { get; init; }

    /// <summary>The system message; null for none.</summary>
    public string? System { get; init; }

    /// <summary>How tokens are drawn.</summary>
    public required SamplingOptions Sampling { get; init; }

    /// <summary>The most tokens of an answer; null for as many as the context holds.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>Texts that end an answer.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>Answers one prompt.</summary>
    public Task AnswerAsync(string text, CancellationToken cancellation)
    {
        Begin();
        return AnswerAsync(text, session: null, cancellation);
    }

    /// <summary>Answers line after line, until the person has enough.</summary>
    public async Task ChatAsync(CancellationToken cancellation)
    {
        terminal.Error.WriteLine(Help);
        if (Raw)
            terminal.Error.WriteLine("with --raw each line stands for itself: the model does not see those before it");
        Begin();
        while (await ReadLineAsync(cancellation) is { } line && line != "/bye")
        {
            if (line == "/clear")
                Begin();
            else if (line.StartsWith('/'))
                terminal.Error.WriteLine(Help);
            else if (line.Length > 0)
                await terminal.Interrupt.RunPartAsync(part => TakeTurnAsync(line, part));
            cancellation.ThrowIfCancellationRequested();
        }
    }

    private void Begin()
    {
        _messages.Clear();
        if (System is not null)
            _messages.Add(new ChatMessage("system", System));
    }

    private async Task TakeTurnAsync(string line, CancellationToken cancellation)
    {
        var before = _messages.Count;
        try
        {
            await AnswerAsync(line, _session, cancellation);
        }
        catch (Exception error) when (error is OperationCanceledException or InvalidInputException)
        {
            // Half an answer is no part of the conversation, and neither is a question too long for the context.
            _messages.RemoveRange(before, _messages.Count - before);
            if (error is InvalidInputException invalid)
                foreach (var one in invalid.Errors)
                    terminal.Error.WriteLine($"error: {one}");
        }
    }

    private async Task AnswerAsync(string text, string? session, CancellationToken cancellation)
    {
        _messages.Add(new ChatMessage("user", text));
        var request = new GenerationRequest
        {
            Tokens = Raw ? EncodeBare(text) : coordinator.EncodeChat(_messages),
            Sampling = Sampling,
            MaxTokens = MaxTokens,
            Session = session,
        };
        var generation = coordinator.Generate(request, Stop, cancellation);
        var placement = coordinator.Placement;
        var recorder = coordinator.Pipeline.Recorder;
        var answer = await AnswerPrinter.PrintAsync(
            terminal, generation, recorder is null ? null : token => recorder.TokenOut(token.Step.Number), cancellation);
        _messages.Add(new ChatMessage("assistant", answer));
        if (generation.FinishReason == FinishReason.Length && generation.Statistics.GeneratedTokens != MaxTokens)
            terminal.Error.WriteLine($"warning: the context of {coordinator.Context} tokens is full");
        // What was predicted for one placement says nothing of another that took over on the way.
        if (placement.Costs is { } costs && coordinator.Placement == placement)
            terminal.Error.WriteLine(ForecastLine.Of(GenerationForecast.Of(costs, generation.Statistics)));
        terminal.Error.WriteLine(StatisticsLine.Of(generation.Statistics, Sampling.Temperature > 0 ? Sampling.Seed : null));
    }

    private int[] EncodeBare(string text)
    {
        var tokenizer = coordinator.Tokenizer;
        var ids = tokenizer.Encode(text, special: true);
        return tokenizer is { AddsBos: true, BosId: { } bos } && (ids.Length == 0 || ids[0] != bos) ? [bos, .. ids] : ids;
    }

    private async Task<string?> ReadLineAsync(CancellationToken cancellation)
    {
        terminal.Error.Write(">>> ");
        // A read from a terminal cannot be cancelled; the process ends without waiting for it.
        return await Task.Run(terminal.In.ReadLine, cancellation).WaitAsync(cancellation);
    }
}
