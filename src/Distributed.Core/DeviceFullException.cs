namespace Distributed.Core;

/// <summary>A device has less free memory than is to be taken of it; the message has the numbers.</summary>
public sealed class DeviceFullException : OutOfMemoryException
{
    /// <param name="device">The device, as configured.</param>
    /// <param name="bytes">Bytes that were asked for.</param>
    /// <param name="free">Bytes that are free; null where the device does not say.</param>
    /// <param name="inner">What the device's driver said; null where it was not asked.</param>
    public DeviceFullException(string device, long bytes, long? free, Exception? inner = null)
        : base(
            $"{ByteSize.Format(bytes)} are to be loaded on {device}, of which "
            + $"{(free is { } known ? ByteSize.Format(known) : "too little")} are free",
            inner)
    {
    }
}
