using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Distributed.Coordinator.Scheduling;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Distributed.Coordinator.Api;

/// <summary><c>POST /v1/chat/completions</c>.</summary>
internal static class ChatEndpoint
{
    private static readonly byte[] EventStart = "data: "u8.ToArray();
    private static readonly byte[] EventEnd = "\n\n"u8.ToArray();
    private static readonly byte[] Done = "data: [DONE]\n\n"u8.ToArray();

    /// <summary>Answers one request.</summary>
    public static async Task HandleAsync(HttpContext context, CoordinatorHost host)
    {
        var request = await ReadBodyAsync(context.Request);
        if (request.Model is { } model && !ServedModel.IsNamed(host.Model, model))
        {
            var message = $"there is no model {model} here, only {ServedModel.IdOf(host.Model)}";
            throw new ApiException(OpenAiError.NotFound(message, "model_not_found", "model"));
        }

        var call = ChatRequestReader.Read(request);
        var prompt = host.EncodeChat(call.Messages);
        if (prompt.Length > host.Config.MaxPrompt)
        {
            var told = $"the prompt has {prompt.Length} tokens: must have at most {host.Config.MaxPrompt} (max-prompt)";
            throw new ApiException(OpenAiError.Invalid("messages", told, "context_length_exceeded"));
        }

        var generation = host.Generate(
            new GenerationRequest
            {
                Tokens = prompt,
                Sampling = call.Sampling,
                MaxTokens = call.MaxTokens,
                TopLogProbs = call.TopLogProbs ?? 0,
                Session = call.Session,
                AnySeed = call.AnySeed,
                FromRecord = call.TopLogProbs is null,
            },
            call.Stop,
            context.RequestAborted);
        var response = new ChatResponse(host, call, generation);
        if (call.Stream)
            await StreamAsync(context, call, generation, response);
        else
            await AnswerAsync(context, generation, response);
    }

    private static async Task<ChatRequest> ReadBodyAsync(HttpRequest request)
    {
        if (!request.HasJsonContentType())
        {
            var told = $"the content type is {request.ContentType ?? "missing"}: must be application/json";
            throw new ApiException(new OpenAiError(StatusCodes.Status415UnsupportedMediaType, OpenAiError.InvalidRequest, told));
        }

        try
        {
            return await JsonSerializer.DeserializeAsync(request.Body, ApiJson.Default.ChatRequest, request.HttpContext.RequestAborted)
                ?? throw new ApiException(OpenAiError.Invalid("messages", "the body must be a JSON object"));
        }
        catch (JsonException error)
        {
            var param = error.Path is { Length: > 2 } path ? path[2..] : null;
            var message = param is null ? $"the body must be a JSON object: {error.Message}" : $"{param} has a value of the wrong type";
            throw new ApiException(new OpenAiError(StatusCodes.Status400BadRequest, OpenAiError.InvalidRequest, message, param));
        }
    }

    private static async Task AnswerAsync(HttpContext context, TextGeneration generation, ChatResponse response)
    {
        var text = new StringBuilder();
        var probabilities = new List<TokenProbability>();
        await foreach (var piece in generation)
        {
            text.Append(piece.Text);
            probabilities.AddRange(response.Probabilities(piece.Token));
        }

        await context.Response.WriteAsJsonAsync(response.Whole(text.ToString(), probabilities), ApiJson.Default.ChatCompletion);
    }

    private static async Task StreamAsync(HttpContext context, ChatCall call, TextGeneration generation, ChatResponse response)
    {
        // The status goes out with the first token: a request that is refused still gets an error of its own.
        await using var pieces = generation.GetAsyncEnumerator(context.RequestAborted);
        var more = await pieces.MoveNextAsync();
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-cache";
        context.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        try
        {
            await SendAsync(context, response.Start(), ApiJson.Default.ChatCompletion);
            for (; more; more = await pieces.MoveNextAsync())
            {
                if (response.Piece(pieces.Current) is { } chunk)
                    await SendAsync(context, chunk, ApiJson.Default.ChatCompletion);
            }

            await SendAsync(context, response.End(), ApiJson.Default.ChatCompletion);
            if (call.IncludeUsage)
                await SendAsync(context, response.Counts(), ApiJson.Default.ChatCompletion);
            await context.Response.Body.WriteAsync(Done, context.RequestAborted);
        }
        catch (Exception error) when (!context.RequestAborted.IsCancellationRequested)
        {
            // The status is out already; the error is the last event, and no [DONE] follows.
            await SendAsync(context, OpenAiError.From(error, context).ToBody(), ApiJson.Default.ErrorBody);
        }
    }

    private static async Task SendAsync<T>(HttpContext context, T message, JsonTypeInfo<T> type)
    {
        var body = context.Response.Body;
        await body.WriteAsync(EventStart, context.RequestAborted);
        await JsonSerializer.SerializeAsync(body, message, type, context.RequestAborted);
        await body.WriteAsync(EventEnd, context.RequestAborted);
        await body.FlushAsync(context.RequestAborted);
    }
}
