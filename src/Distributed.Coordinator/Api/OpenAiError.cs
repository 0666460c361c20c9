using System.Globalization;
using System.Net.Mime;
using Distributed.Cluster;
using Distributed.Coordinator.Scheduling;
using Distributed.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Distributed.Coordinator.Api;

/// <summary>A failed request as OpenAI's API tells it.</summary>
/// <param name="Status">The HTTP status.</param>
/// <param name="Type">The kind: <c>invalid_request_error</c>, <c>server_error</c> …</param>
/// <param name="Message">What is wrong, and what to do about it.</param>
/// <param name="Param">The parameter concerned; null where none is.</param>
/// <param name="Code">A name for programs to tell errors apart; null where there is none.</param>
internal sealed record OpenAiError(int Status, string Type, string Message, string? Param = null, string? Code = null)
{
    /// <summary>The kind of all errors that the client can mend.</summary>
    public const string InvalidRequest = "invalid_request_error";
    private const string ServerError = "server_error";

    /// <summary>Seconds after which trying again may help; null where it will not.</summary>
    public int? RetryAfter { get; init; }

    /// <summary>A parameter breaks a rule.</summary>
    public static OpenAiError Invalid(string param, string message, string? code = null) =>
        new(StatusCodes.Status400BadRequest, InvalidRequest, message, param, code);

    /// <summary>A parameter asks for what is not there yet, and leaving it out would change the answer.</summary>
    public static OpenAiError Unsupported(string param, string message) => Invalid(param, message, "unsupported_parameter");

    /// <summary>What the request names is not here.</summary>
    public static OpenAiError NotFound(string message, string code, string? param = null) =>
        new(StatusCodes.Status404NotFound, InvalidRequest, message, param, code);

    /// <summary>The stages are not loaded.</summary>
    public static OpenAiError Loading() => Unavailable("the model is still loading", "model_loading") with { RetryAfter = 1 };

    /// <summary>There is too much at once.</summary>
    public static OpenAiError TooMany(string message) =>
        new(StatusCodes.Status429TooManyRequests, "requests", message, Code: "rate_limit_exceeded") { RetryAfter = 1 };

    /// <summary>The error an exception comes to. Of one that nobody foresaw the client learns nothing; it goes to the log.</summary>
    public static OpenAiError From(Exception error, HttpContext context)
    {
        switch (error)
        {
            case ApiException api:
                return api.Error;
            case InvalidInputException invalid:
                return invalid.Errors[0].Key switch
                {
                    "prompt" => Invalid("messages", invalid.Message, "context_length_exceeded"),
                    "session" => Invalid("session_id", invalid.Message),
                    var key => Invalid(key, invalid.Message),
                };
            case QueueFullException:
                return Unavailable(error.Message, "queue_full") with { RetryAfter = 1 };
            case StageFailureException:
                return Unavailable(error.Message, "pipeline_failed");
            case OperationCanceledException:
                return Unavailable("the coordinator is stopping", "stopping");
            case BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } large:
                var limit = context.Features.Get<IHttpMaxRequestBodySizeFeature>()?.MaxRequestBodySize ?? 0;
                var told = $"the body is larger than {ByteSize.Format(limit)} (max-body)";
                return new OpenAiError(large.StatusCode, InvalidRequest, told, Code: "request_too_large");
            case BadHttpRequestException bad:
                return new OpenAiError(bad.StatusCode, InvalidRequest, bad.Message);
            default:
                var log = context.RequestServices.GetRequiredService<ILogger<OpenAiError>>();
                log.LogError(error, "{Method} {Path} failed", context.Request.Method, context.Request.Path);
                const string Message = "an error inside the server; its log says more";
                return new OpenAiError(StatusCodes.Status500InternalServerError, ServerError, Message);
        }
    }

    /// <summary>The body that tells it.</summary>
    public ErrorBody ToBody() => new(new ErrorDetail(Message, Type, Param, Code));

    /// <summary>Answers with it.</summary>
    public Task WriteAsync(HttpContext context)
    {
        var response = context.Response;
        response.StatusCode = Status;
        if (RetryAfter is { } seconds)
            response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        return response.WriteAsJsonAsync(ToBody(), ApiJson.Default.ErrorBody, MediaTypeNames.Application.Json);
    }

    private static OpenAiError Unavailable(string message, string code) =>
        new(StatusCodes.Status503ServiceUnavailable, ServerError, message, Code: code);
}

/// <summary>A request that cannot be answered; the endpoint turns it into the response.</summary>
internal sealed class ApiException(OpenAiError error) : Exception(error.Message)
{
    /// <summary>What to tell the client.</summary>
    public OpenAiError Error { get; } = error;
}
