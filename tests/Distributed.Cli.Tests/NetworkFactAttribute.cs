using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Distributed.Cli.Tests;

/// <summary>A test with an address that others could reach; skipped, by name, where the machine has none but loopback.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NetworkFactAttribute : FactAttribute
{
    public NetworkFactAttribute() => Skip = OwnAddress is null ? "needs an IPv4 address besides loopback" : null;

    /// <summary>That address; null where there is none.</summary>
    public static string? OwnAddress { get; } = NetworkInterface.GetAllNetworkInterfaces()
        .Where(card => card.OperationalStatus == OperationalStatus.Up)
        .SelectMany(card => card.GetIPProperties().UnicastAddresses)
        .Select(address => address.Address)
        .FirstOrDefault(address => address.AddressFamily == AddressFamily.InterNetwork && !IPAddress.IsLoopback(address))?.ToString();
}
