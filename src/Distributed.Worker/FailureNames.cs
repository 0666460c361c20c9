using System.Globalization;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace Distributed.Worker;

/// <summary>
/// Sees to it that every call that fails does so with a name of the protocol: what a handler did not foresee is
/// <see cref="FailureCode.StageFailed"/>, and what never came to a handler, as it is no message, <see cref="FailureCode.BadFrame"/>.
/// </summary>
/// <param name="options">The worker's options.</param>
/// <param name="logger">Where what nobody foresaw is told.</param>
internal sealed partial class FailureNames(WorkerOptions options, ILogger<FailureNames> logger) : Interceptor
{
    /// <summary>The most bytes of a request that is not a stream of frames or weights.</summary>
    public const long MaxRequestBytes = 4 << 20;

    /// <inheritdoc/>
    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            return await continuation(request, context);
        }
        catch (Exception error) when (IsUnforeseen(error))
        {
            throw Name(error, context);
        }
    }

    /// <inheritdoc/>
    public override async Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
        ServerStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            await continuation(request, responseStream, context);
        }
        catch (Exception error) when (IsUnforeseen(error))
        {
            throw Name(error, context);
        }
    }

    /// <inheritdoc/>
    public override async Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
        DuplexStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            await continuation(requestStream, responseStream, context);
        }
        catch (Exception error) when (IsUnforeseen(error))
        {
            throw Name(error, context);
        }
    }

    /// <summary>Names what gRPC refused by itself, before any handler.</summary>
    public static async Task NameAsync(HttpContext context, RequestDelegate next)
    {
        var isStream = context.Request.Path.Value is { } path
            && (path.EndsWith("/Forward", StringComparison.Ordinal) || path.EndsWith("/SupplyWeights", StringComparison.Ordinal));
        if (!isStream && context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = MaxRequestBytes;
        await next(context);
        var trailers = context.Response.HasStarted ? context.Features.Get<IHttpResponseTrailersFeature>()?.Trailers : context.Response.Headers;
        if (trailers is not null && !trailers.ContainsKey(StageFailureException.Trailer)
            && int.TryParse(trailers["grpc-status"], CultureInfo.InvariantCulture, out var status)
            && (StatusCode)status is StatusCode.Unknown or StatusCode.Internal or StatusCode.ResourceExhausted or StatusCode.Unimplemented)
        {
            var refused = new StageFailureException(FailureCode.BadFrame, $"what came is no request: {trailers["grpc-message"]}", "worker");
            trailers[StageFailureException.Trailer] = Convert.ToBase64String(refused.ToTrailer());
        }
    }

    private static bool IsUnforeseen(Exception error) =>
        error is not (RpcException or OperationCanceledException or IOException or InvalidOperationException { Source: "Grpc.AspNetCore.Server" });

    private RpcException Name(Exception error, ServerCallContext context)
    {
        if (error is not StageFailureException)
            LogUnforeseen(logger, error, context.Method);
        return (error as StageFailureException ?? new StageFailureException(FailureCode.StageFailed, error.Message, options.Name)).ToRpc();
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} failed")]
    private static partial void LogUnforeseen(ILogger logger, Exception error, string method);
}
