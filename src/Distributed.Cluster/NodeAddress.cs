using System.Globalization;
using System.Net;
using System.Text;
using Distributed.Core;

namespace Distributed.Cluster;

/// <summary>Where a node listens: <c>HOST:PORT</c> over TCP, or <c>unix:/path</c> for a socket on the same machine.</summary>
public sealed record NodeAddress
{
    private const string UnixPrefix = "unix:";

    private NodeAddress()
    {
    }

    /// <summary>The host name or address; null for a Unix socket.</summary>
    public string? Host { get; private init; }

    /// <summary>The TCP port, 0 to let the system choose when listening; 0 for a Unix socket.</summary>
    public int Port { get; private init; }

    /// <summary>The socket's path; null for TCP.</summary>
    public string? SocketPath { get; private init; }

    /// <summary>Whether it can only be this machine: a Unix socket or a loopback address.</summary>
    public bool IsThisMachine =>
        SocketPath is not null || Host == "localhost" || (IPAddress.TryParse(Host, out var address) && IPAddress.IsLoopback(address));

    /// <summary>Reads an address.</summary>
    /// <param name="key">What the address is called where it was written, for the error.</param>
    /// <param name="text">The address as written.</param>
    /// <exception cref="InvalidInputException">It is no address.</exception>
    public static NodeAddress Parse(string key, string text) =>
        TryParse(text) ?? throw new InvalidInputException(key, text, Rule);

    /// <summary>The rule an address follows, for errors.</summary>
    public const string Rule = "must be HOST:PORT with a port from 0 to 65535, or unix:/path of at most 100 bytes";

    /// <summary>Reads an address; null when it is none.</summary>
    public static NodeAddress? TryParse(string text)
    {
        if (text.StartsWith(UnixPrefix, StringComparison.Ordinal))
        {
            // The system allows 104 to 108 bytes for a socket's path.
            var path = text[UnixPrefix.Length..];
            return path.StartsWith('/') && !path.Contains('\0') && Encoding.UTF8.GetByteCount(path) <= 100 ? new NodeAddress { SocketPath = path } : null;
        }

        var colon = text.LastIndexOf(':');
        if (colon <= 0 || !int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port > 65535)
            return null;
        var host = text[..colon];
        var bracketed = host.StartsWith('[') && host.EndsWith(']');
        if (bracketed)
            host = host[1..^1];
        var valid = bracketed
            ? IPAddress.TryParse(host, out _)
            : Uri.CheckHostName(host) is UriHostNameType.Dns or UriHostNameType.IPv4;
        return valid ? new NodeAddress { Host = host, Port = port } : null;
    }

    /// <summary>The address as <see cref="Parse"/> reads it.</summary>
    public override string ToString() =>
        SocketPath is not null ? UnixPrefix + SocketPath : Host!.Contains(':') ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}
