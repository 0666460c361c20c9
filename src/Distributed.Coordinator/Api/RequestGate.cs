using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Distributed.Coordinator.Api;

/// <summary>Lets requests in that show a key, where there are keys, and only so many at once. Whether the server is well anybody may ask at any time.</summary>
/// <param name="keys">The keys; null for none.</param>
/// <param name="maxRequests">The most requests at once.</param>
internal sealed class RequestGate(ApiKeys? keys, int maxRequests)
{
    /// <summary>What anybody may ask, and a coordinator that stands by answers itself.</summary>
    public static readonly PathString[] Open = ["/health", "/ready"];

    private int _running;

    /// <summary>Puts it before what follows.</summary>
    public void AddTo(IApplicationBuilder app) => app.Use(EnterAsync);

    private async Task EnterAsync(HttpContext context, RequestDelegate next)
    {
        if (Open.Contains(context.Request.Path))
        {
            await next(context);
            return;
        }

        if (keys?.Refuse(context.Request) is { } stranger)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            await stranger.WriteAsync(context);
            return;
        }

        try
        {
            if (Interlocked.Increment(ref _running) > maxRequests)
                await OpenAiError.TooMany($"{maxRequests} requests are being answered, the most at once (max-requests)").WriteAsync(context);
            else
                await next(context);
        }
        finally
        {
            Interlocked.Decrement(ref _running);
        }
    }
}
