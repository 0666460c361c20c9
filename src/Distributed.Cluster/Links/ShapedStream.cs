using System.IO.Pipelines;

namespace Distributed.Cluster.Links;

/// <summary>
/// A connection whose bytes are as late and as slow as a <see cref="LinkShape"/> says, both those sent and those received: it
/// stands below HTTP/2 at the connecting end, so both directions of every stream between two nodes pass it.
/// </summary>
internal sealed class ShapedStream : Stream
{
    private const int ReadBytes = 64 << 10;

    private readonly Stream _connection;
    private readonly DelayLine _sent;
    private readonly DelayLine _received;
    private readonly Pipe _arrived = new();
    private readonly Stream _reader;

    public ShapedStream(Stream connection, LinkShape shape)
    {
        _connection = connection;
        _reader = _arrived.Reader.AsStream();
        _sent = new DelayLine(shape, bytes => connection.Write(bytes.Span));
        _received = new DelayLine(shape, Arrive);
        _ = ReceiveAsync();
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        _reader.ReadAsync(buffer, cancellationToken);

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        buffer.Length == 0 ? ValueTask.CompletedTask : _sent.AddAsync(buffer, cancellationToken);

    public override int Read(byte[] buffer, int offset, int count) => _reader.Read(buffer, offset, count);

    public override void Write(byte[] buffer, int offset, int count) =>
        WriteAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    public override void Flush()
    {
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _sent.Close();
            _received.Close();
            _reader.Dispose();
            _connection.Dispose();
        }

        base.Dispose(disposing);
    }

    private async Task ReceiveAsync()
    {
        var buffer = new byte[ReadBytes];
        try
        {
            int count;
            do
            {
                count = await _connection.ReadAsync(buffer);
                await _received.AddAsync(buffer.AsMemory(0, count), CancellationToken.None);
            }
            while (count > 0);
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException)
        {
            await _arrived.Writer.CompleteAsync(new IOException("the connection is closed", error));
        }
    }

    private void Arrive(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Length == 0)
            _arrived.Writer.Complete();
        else
            _arrived.Writer.WriteAsync(bytes).AsTask().GetAwaiter().GetResult();
    }
}
