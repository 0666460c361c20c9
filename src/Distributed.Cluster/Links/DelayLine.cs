using System.Buffers;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Threading.Channels;

namespace Distributed.Cluster.Links;

/// <summary>
/// One direction of a shaped link: bytes come out in order, each as late as it would over a wire of that delay and rate. Many are
/// on their way at once, so a delay does not lower the throughput; when as many are as the wire holds, whoever adds waits.
/// </summary>
internal sealed partial class DelayLine
{
    private const int ParcelBytes = 16 << 10;
    private const int MostParcels = (64 << 20) / ParcelBytes;

    private readonly LinkShape _shape;
    private readonly Action<ReadOnlyMemory<byte>> _deliver;
    private readonly ThreadInbox<Parcel> _parcels;
    private double _freeAt;
    private volatile Exception? _broken;

    /// <param name="shape">Delay and rate.</param>
    /// <param name="deliver">
    /// Takes bytes at the far end, on the line's own thread; an empty piece means that there are no more. What it throws breaks the line.
    /// </param>
    public DelayLine(LinkShape shape, Action<ReadOnlyMemory<byte>> deliver)
    {
        _shape = shape;
        _deliver = deliver;
        var bytesOnTheWay = shape.BitsPerSecond / 8.0 * shape.Delay.TotalSeconds ?? double.MaxValue;
        _parcels = new ThreadInbox<Parcel>((int)Math.Min(MostParcels, 16 + (2 * bytesOnTheWay / ParcelBytes)));
        new Thread(Deliver) { Name = "link", IsBackground = true }.Start();
    }

    /// <summary>Sends bytes on their way; an empty piece says that there are no more.</summary>
    /// <exception cref="IOException">The line is closed or broken.</exception>
    public async ValueTask AddAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        do
        {
            var piece = bytes[..Math.Min(bytes.Length, ParcelBytes)];
            bytes = bytes[piece.Length..];
            var buffer = ArrayPool<byte>.Shared.Rent(Math.Max(1, piece.Length));
            piece.CopyTo(buffer);
            try
            {
                await _parcels.AddAsync(new Parcel(buffer, piece.Length, DueTime(piece.Length)), cancellation);
            }
            catch (ChannelClosedException)
            {
                throw new IOException("the connection is closed", _broken);
            }
        }
        while (bytes.Length > 0);
    }

    /// <summary>Drops what is on its way and ends the thread.</summary>
    public void Close() => _parcels.Close();

    private double DueTime(int bytes)
    {
        var now = Now;
        _freeAt = Math.Max(now, _freeAt) + (bytes * 8.0 / _shape.BitsPerSecond ?? 0);
        return _freeAt + _shape.Delay.TotalSeconds;
    }

    private void Deliver()
    {
        try
        {
            while (_parcels.TryTake(out var parcel))
            {
                SleepUntil(parcel.Due);
                _deliver(parcel.Buffer.AsMemory(0, parcel.Length));
                ArrayPool<byte>.Shared.Return(parcel.Buffer);
            }
        }
        catch (Exception error) when (error is IOException or InvalidOperationException)
        {
            _broken = error;
        }
        finally
        {
            _parcels.Close();
        }
    }

    private static double Now => Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

    // Thread.Sleep counts in milliseconds and wakes up to one late: too coarse for the delays of real networks.
    private static void SleepUntil(double due)
    {
        while (due - Now is > 0 and var seconds)
        {
            if (!OperatingSystem.IsLinux() && !OperatingSystem.IsMacOS())
                Thread.Sleep(seconds > 0.002 ? 1 : 0);
            else
                _ = NanoSleep(new TimeSpec { Seconds = (nint)seconds, Nanoseconds = (nint)(seconds % 1 * 1e9) }, 0);
        }
    }

    [LibraryImport("libc", EntryPoint = "nanosleep")]
    private static partial int NanoSleep(in TimeSpec time, nint remaining);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }

    private sealed record Parcel(byte[] Buffer, int Length, double Due);
}
