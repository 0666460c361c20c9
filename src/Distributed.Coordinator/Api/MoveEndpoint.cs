using System.Text.Json.Serialization;
using Distributed.Coordinator.Recovery;
using Microsoft.AspNetCore.Http;

namespace Distributed.Coordinator.Api;

/// <summary><c>POST /drain?worker=NAME</c> and <c>POST /rebalance[?worker=NAME]</c>: another placement, while streams go on.</summary>
internal static class MoveEndpoint
{
    /// <summary>Moves a worker's layers away.</summary>
    public static Task DrainAsync(HttpContext context, CoordinatorHost host) => Worker(context) is { } worker
        ? TellAsync(context, () => host.Recovery.DrainAsync(worker, context.RequestAborted))
        : throw new ApiException(OpenAiError.Invalid("worker", "worker is missing: which one is to be drained?"));

    /// <summary>Places the model anew, with a worker that is asked back where one is named.</summary>
    public static Task RebalanceAsync(HttpContext context, CoordinatorHost host) =>
        TellAsync(context, () => host.Recovery.RebalanceAsync(Worker(context), context.RequestAborted));

    // Whether a browser sends this for a page of another site: a POST without a body needs no permission of the server's, and a local
    // one asks for no key.
    private static bool IsForeign(HttpRequest request) =>
        request.Headers["Sec-Fetch-Site"] is [{ } site] ? site is not ("same-origin" or "none")
        : request.Headers.Origin is [{ } origin] && !(Uri.TryCreate(origin, UriKind.Absolute, out var uri) && uri.Authority == request.Host.Value);

    private static async Task TellAsync(HttpContext context, Func<Task<MoveReport>> move)
    {
        if (IsForeign(context.Request))
        {
            throw new ApiException(new OpenAiError(
                StatusCodes.Status403Forbidden, OpenAiError.InvalidRequest, "a page of another site may not move layers", Code: "foreign_origin"));
        }

        try
        {
            await context.Response.WriteAsJsonAsync(await move(), MoveJson.Default.MoveReport);
        }
        catch (MoveRefusedException error)
        {
            throw new ApiException(new OpenAiError(StatusCodes.Status409Conflict, OpenAiError.InvalidRequest, error.Message, Code: "move_refused"));
        }
    }

    private static string? Worker(HttpContext context) => context.Request.Query["worker"] is [{ Length: > 0 } worker] ? worker : null;
}

/// <summary>How a move is read and written.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, MaxDepth = 16)]
[JsonSerializable(typeof(MoveReport))]
[JsonSerializable(typeof(ErrorBody))]
public sealed partial class MoveJson : JsonSerializerContext;
