using System.Buffers;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Distributed.Coordinator.Api;

/// <summary>
/// Waits so long for a connection's first headers and then tells why it ends; Kestrel alone would end it without a word. Of the
/// headers that follow on the same connection Kestrel keeps the time.
/// </summary>
/// <param name="timeout">How long.</param>
internal sealed class HeaderLimit(TimeSpan timeout)
{
    // Kestrel's own limit of all headers together.
    private const int MaxBytes = 32 << 10;

    private static readonly byte[] End = "\r\n\r\n"u8.ToArray();

    /// <summary>Puts it before what follows.</summary>
    public void AddTo(IConnectionBuilder connections) => connections.Use(next => async connection =>
    {
        if (await HasHeadersAsync(connection))
            await next(connection);
    });

    private async Task<bool> HasHeadersAsync(ConnectionContext connection)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed);
        patience.CancelAfter(timeout);
        var input = connection.Transport.Input;
        try
        {
            while (true)
            {
                var read = await input.ReadAsync(patience.Token);
                var isEnough = read.IsCompleted || read.Buffer.Length > MaxBytes
                    || new SequenceReader<byte>(read.Buffer).TryReadTo(out ReadOnlySequence<byte> _, End);
                // All of it is left to the next reader, who gets it at once.
                input.AdvanceTo(read.Buffer.Start, isEnough ? read.Buffer.Start : read.Buffer.End);
                if (isEnough)
                    return true;
            }
        }
        catch (OperationCanceledException) when (!connection.ConnectionClosed.IsCancellationRequested)
        {
            var error = new OpenAiError(
                StatusCodes.Status408RequestTimeout, OpenAiError.InvalidRequest,
                $"the headers did not come within {timeout.TotalSeconds:0.###} s (header-timeout)", Code: "header_timeout");
            var body = JsonSerializer.SerializeToUtf8Bytes(error.ToBody(), ApiJson.Default.ErrorBody);
            var head = $"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\nConnection: close\r\n\r\n";
            await connection.Transport.Output.WriteAsync((byte[])[.. Encoding.ASCII.GetBytes(head), .. body]);
            return false;
        }
        catch (Exception error) when (error is OperationCanceledException or IOException)
        {
            return false;
        }
    }
}
