using Grpc.Core;

namespace Distributed.Cluster;

/// <summary>The sending side of a call's stream.</summary>
public static class CallStreams
{
    /// <summary>Writes a message. A connection that ends meanwhile is told as everything else that ends a call, which the library does not.</summary>
    /// <param name="stream">Where to.</param>
    /// <param name="message">What.</param>
    /// <param name="cancellation">Gives up; the call ends with it.</param>
    /// <exception cref="RpcException">The call has ended.</exception>
    public static async Task SendAsync<T>(this IClientStreamWriter<T> stream, T message, CancellationToken cancellation = default)
        where T : class
    {
        try
        {
            await stream.WriteAsync(message, cancellation);
        }
        catch (Exception error) when (error is IOException or InvalidOperationException)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, error.Message, error));
        }
    }
}
