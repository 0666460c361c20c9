using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Distributed.Coordinator.Api;

/// <summary>The HTTP API: that of OpenAI for chats, and whether the coordinator is well.</summary>
public static class OpenAiApi
{
    /// <summary>Adds the API's routes.</summary>
    /// <param name="routes">Where to.</param>
    /// <param name="host">The coordinator; null from the function while it is loading.</param>
    public static void MapOpenAiApi(this IEndpointRouteBuilder routes, Func<CoordinatorHost?> host)
    {
        routes.MapGet("/health", context => WriteAsync(context, new HealthBody("ok")));
        routes.MapGet("/ready", context => ReadyAsync(context, host()));
        routes.MapGet("/status", Told(context => StatusAsync(context, Loaded(host))));
        routes.MapGet("/sessions", Told(context => SessionsAsync(context, Loaded(host))));
        routes.MapPost("/drain", Told(context => MoveEndpoint.DrainAsync(context, Loaded(host))));
        routes.MapPost("/rebalance", Told(context => MoveEndpoint.RebalanceAsync(context, Loaded(host))));
        var api = routes.MapGroup("/v1");
        api.MapGet("/models", Told(context => ListModelsAsync(context, Loaded(host))));
        api.MapGet("/models/{id}", Told(context => GetModelAsync(context, Loaded(host))));
        api.MapPost("/chat/completions", Told(context => ChatEndpoint.HandleAsync(context, Loaded(host))));
        api.MapFallback(Told(context => throw new ApiException(
            OpenAiError.NotFound($"there is no {context.Request.Method} {context.Request.Path} here", "unknown_url"))));
    }

    private static async Task StatusAsync(HttpContext context, CoordinatorHost host) => await context.Response.WriteAsJsonAsync(
        await ClusterStatus.OfAsync(host, context.RequestAborted), StatusJson.Default.ClusterStatus);

    private static async Task SessionsAsync(HttpContext context, CoordinatorHost host) => await context.Response.WriteAsJsonAsync(
        await ClusterSessions.OfAsync(host, context.RequestAborted), SessionsJson.Default.ClusterSessions);

    private static Task ListModelsAsync(HttpContext context, CoordinatorHost host) =>
        context.Response.WriteAsJsonAsync(new ModelList("list", [EntryOf(host)]), ApiJson.Default.ModelList);

    private static Task GetModelAsync(HttpContext context, CoordinatorHost host) =>
        ServedModel.IsNamed(host.Model, (string)context.GetRouteValue("id")!)
            ? context.Response.WriteAsJsonAsync(EntryOf(host), ApiJson.Default.ModelEntry)
            : throw new ApiException(
                OpenAiError.NotFound($"there is only {ServedModel.IdOf(host.Model)} here", "model_not_found", "model"));

    private static CoordinatorHost Loaded(Func<CoordinatorHost?> host) => host() ?? throw new ApiException(OpenAiError.Loading());

    private static ModelEntry EntryOf(CoordinatorHost host)
    {
        var written = new DateTimeOffset(File.GetLastWriteTimeUtc(host.Model.Path), TimeSpan.Zero);
        return new(ServedModel.IdOf(host.Model), "model", written.ToUnixTimeSeconds(), "distributed");
    }

    private static Task ReadyAsync(HttpContext context, CoordinatorHost? host)
    {
        var body = host is null ? new HealthBody("loading")
            : new HealthBody(host.Condition.State) { Reason = host.Condition.Reason };
        if (body.Status != "ready")
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        return WriteAsync(context, body);
    }

    private static Task WriteAsync(HttpContext context, HealthBody body) =>
        context.Response.WriteAsJsonAsync(body, ApiJson.Default.HealthBody);

    /// <summary>The handler, with its failures told in OpenAI's format.</summary>
    private static RequestDelegate Told(RequestDelegate handle) => async context =>
    {
        try
        {
            await handle(context);
        }
        catch (Exception error) when (context.RequestAborted.IsCancellationRequested && error is OperationCanceledException or IOException)
        {
            // Nobody is there to be told.
        }
        catch (Exception error) when (!context.Response.HasStarted)
        {
            var told = OpenAiError.From(error, context);
            context.Response.Clear();
            await told.WriteAsync(context);
        }
    };
}
