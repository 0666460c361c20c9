using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json;

namespace Distributed.Cli.Lab;

/// <summary>
/// Clients that ask one thing after the other. Where the coordinator was killed they ask the same again, as a client is meant to;
/// whatever else goes wrong with an answer loses it.
/// </summary>
/// <param name="cluster">The cluster.</param>
/// <param name="requests">What is asked for.</param>
internal sealed class SoakStreams(SoakCluster cluster, IReadOnlyList<SoakRequest> requests)
{
    // Of each client; a later request takes the session's place with other tokens.
    private const int Sessions = 4;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly List<SoakAnswer> _answers = [];

    /// <summary>All answers asked for.</summary>
    public IReadOnlyList<SoakAnswer> Answers
    {
        get
        {
            lock (_answers)
                return [.. _answers];
        }
    }

    /// <summary>Those that are coming.</summary>
    public IReadOnlyList<SoakAnswer> Running => [.. Answers.Where(answer => answer.Outcome == SoakOutcome.Running)];

    /// <summary>Asks for everything once, one after the other, for what an undisturbed run answers.</summary>
    /// <exception cref="IOException">A request fails though nothing disturbs it.</exception>
    public async Task LearnAsync(CancellationToken cancellation)
    {
        foreach (var request in requests)
            request.Expected = await ReadAsync(request.Body(null), _ => { }, cancellation);
    }

    /// <summary>One client.</summary>
    /// <param name="client">Its number.</param>
    /// <param name="random">What it asks for next.</param>
    /// <param name="stop">Nothing more is asked for then; what is running goes on to its end.</param>
    /// <param name="cancellation">Ends it at once.</param>
    public async Task RunAsync(int client, Random random, CancellationToken stop, CancellationToken cancellation)
    {
        for (var turn = 0; !stop.IsCancellationRequested; turn++)
        {
            var answer = new SoakAnswer(requests[random.Next(requests.Count)]);
            lock (_answers)
                _answers.Add(answer);
            await AnswerAsync(answer, answer.Request.Body($"client-{client}-{turn % Sessions}"), cancellation);
        }
    }

    private async Task AnswerAsync(SoakAnswer answer, string body, CancellationToken cancellation)
    {
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(cancellation, answer.Cancelled);
        while (true)
        {
            var kills = cluster.Kills;
            try
            {
                await ReadAsync(body, answer.Came, ends.Token);
                answer.Ended(SoakOutcome.Finished);
                return;
            }
            catch (OperationCanceledException) when (ends.IsCancellationRequested)
            {
                cancellation.ThrowIfCancellationRequested();
                answer.Ended(SoakOutcome.Cancelled);
                return;
            }
            catch (Exception error) when (error is IOException or HttpRequestException or TimeoutException or JsonException)
            {
                if (cluster.Kills == kills)
                {
                    answer.Ended(SoakOutcome.Lost, error.Message);
                    return;
                }

                answer.AskedAgain++;
            }
        }
    }

    private async Task<string> ReadAsync(string body, Action<string> came, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        try
        {
            using var response = await cluster.AskAsync(body, patience.Token);
            if (!response.IsSuccessStatusCode)
                throw new IOException($"{(int)response.StatusCode}: {await response.Content.ReadAsStringAsync(patience.Token)}");
            var text = new StringBuilder();
            await using var stream = await response.Content.ReadAsStreamAsync(patience.Token);
            await foreach (var item in SseParser.Create(stream).EnumerateAsync(patience.Token))
            {
                patience.CancelAfter(Patience);
                if (item.Data == "[DONE]")
                    return $"{text}";
                using var document = JsonDocument.Parse(item.Data);
                if (document.RootElement.TryGetProperty("error", out var error))
                    throw new IOException($"{error}");
                if (PieceOf(document.RootElement) is not { Length: > 0 } piece)
                    continue;
                text.Append(piece);
                came($"{text}");
            }

            throw new IOException("the stream ended before the answer did");
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new TimeoutException($"nothing came for {Patience.TotalSeconds} s");
        }
    }

    private static string? PieceOf(JsonElement message) =>
        message.GetProperty("choices").EnumerateArray().FirstOrDefault() is { ValueKind: JsonValueKind.Object } choice
        && choice.GetProperty("delta").TryGetProperty("content", out var content) ? content.GetString() : null;
}
