using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Cluster.Certificates;

/// <summary>A cluster's CA: who has a certificate of it is a member. Keys are on the curve P-256.</summary>
public static class CertificateAuthority
{
    /// <summary>The days a node's certificate is good for unless told otherwise.</summary>
    public const int DefaultDays = 365;

    /// <summary>The most days.</summary>
    public const int MaxDays = 3650;

    private const int SerialBytes = 16;
    private static readonly Oid ServerAuthentication = new("1.3.6.1.5.5.7.3.1");
    private static readonly Oid ClientAuthentication = new("1.3.6.1.5.5.7.3.2");

    // Clocks of machines are not all right.
    private static readonly TimeSpan Before = TimeSpan.FromHours(1);

    /// <summary>Makes a CA, good for ten years.</summary>
    /// <param name="folder">Where its files go; made where it is not there.</param>
    /// <exception cref="InvalidInputException">There is a CA already.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static void Init(string folder)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var name = $"CN=distributed cluster CA {Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4))}";
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        var now = DateTimeOffset.UtcNow;
        using var certificate = request.CreateSelfSigned(now - Before, now.AddDays(MaxDays));
        CertificateFiles.Write(folder, CertificateFiles.Ca, certificate, key);
    }

    /// <summary>Makes a node's certificate, for both ends of a connection.</summary>
    /// <param name="folder">Where the CA's files are, and the node's go.</param>
    /// <param name="node">The node's name: a worker's as in the cluster file, or whatever the coordinator is to be called.</param>
    /// <param name="days">How long it is good for; no longer than the CA's.</param>
    /// <param name="addresses">Host names and addresses that an HTTP client may find it under. Between nodes the name alone counts.</param>
    /// <exception cref="InvalidInputException">The name or an address is none, there is no CA, or a certificate for the name already.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    /// <returns>The moment until which it is good.</returns>
    public static DateTimeOffset Issue(string folder, string node, int days, IEnumerable<string> addresses)
    {
        var now = DateTimeOffset.UtcNow;
        return Issue(folder, node, now - Before, now.AddDays(days), addresses);
    }

    /// <summary>The same between two moments.</summary>
    internal static DateTimeOffset Issue(string folder, string node, DateTimeOffset from, DateTimeOffset until, IEnumerable<string> addresses)
    {
        if (!ClusterValidator.IsWorkerName(node))
            throw new InvalidInputException("NAME", node, ClusterValidator.WorkerNameRule);
        if (node == CertificateFiles.Ca)
            throw new InvalidInputException("NAME", node, "is the CA's own");
        var names = NamesOf(node, addresses);
        CertificateFiles.CheckAbsent(folder, node);
        using var ca = ReadCa(folder);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={node}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([ServerAuthentication, ClientAuthentication], false));
        request.CertificateExtensions.Add(names);
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(ca, true, false));
        var (first, last) = (new DateTimeOffset(ca.NotBefore), new DateTimeOffset(ca.NotAfter));
        (from, until) = (from < first ? first : from, until > last ? last : until);
        using var certificate = request.Create(ca, from, until, RandomNumberGenerator.GetBytes(SerialBytes));
        CertificateFiles.Write(folder, node, certificate, key);
        return until;
    }

    private static X509Certificate2 ReadCa(string folder)
    {
        var path = CertificateFiles.Certificate(folder, CertificateFiles.Ca);
        if (!File.Exists(path))
            throw new InvalidInputException("--dir", folder, "has no CA: make one with `distributed certs init`");
        return CertificateFiles.ReadPair("--dir ", path, CertificateFiles.Key(folder, CertificateFiles.Ca));
    }

    private static X509Extension NamesOf(string node, IEnumerable<string> addresses)
    {
        var names = new SubjectAlternativeNameBuilder();
        names.AddUri(NodeName.UriOf(node));
        names.AddDnsName(node);
        foreach (var address in addresses)
        {
            if (IPAddress.TryParse(address, out var ip))
                names.AddIpAddress(ip);
            else if (Uri.CheckHostName(address) == UriHostNameType.Dns)
                names.AddDnsName(address);
            else
                throw new InvalidInputException("--address", address, "must be a host name or an IP address, without a port");
        }

        return names.Build();
    }
}
