using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Cluster.Certificates;

/// <summary>
/// What a node shows to others and what it holds them against: its certificate with the key, and the cluster's CA. Both ends of a
/// connection show one; TLS 1.3 alone is spoken.
/// </summary>
public sealed class NodeCertificates
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    private readonly X509Certificate2 _ca;
    private readonly SslStreamCertificateContext _own;

    private NodeCertificates(X509Certificate2 ca, X509Certificate2 own, string name)
    {
        _ca = ca;
        _own = SslStreamCertificateContext.Create(own, null, offline: true);
        (Own, Name) = (own, name);
    }

    /// <summary>This node's certificate, with its key.</summary>
    public X509Certificate2 Own { get; }

    /// <summary>The name in this node's certificate.</summary>
    public string Name { get; }

    /// <summary>Reads the files and holds them against each other.</summary>
    /// <param name="files">Where they are.</param>
    /// <exception cref="InvalidInputException">One cannot be read, or the certificate is not one of the CA, of a node and good today.</exception>
    public static NodeCertificates Load(TlsConfig files)
    {
        var ca = CertificateFiles.ReadCertificate(files.NameOf("ca"), files.Ca);
        var own = CertificateFiles.ReadPair(files.NameOf, files.Certificate, files.Key);
        if (Judge(ca, own, null, ServerAuthentication) is { } reason)
        {
            throw new InvalidInputException(
                files.NameOf("certificate"), files.Certificate, $"{reason}; a node's own is made by `distributed certs issue`");
        }

        return new NodeCertificates(ca, own, NodeName.Of(own)!);
    }

    /// <summary>How this node answers connections: with its certificate, and only to members.</summary>
    /// <param name="refused">Told why, where the other end is refused.</param>
    public SslServerAuthenticationOptions Server(Action<string> refused) => new()
    {
        ServerCertificateContext = _own,
        ClientCertificateRequired = true,
        EnabledSslProtocols = SslProtocols.Tls13,
        ApplicationProtocols = [SslApplicationProtocol.Http2],
        // A certificate is looked at whenever somebody comes.
        AllowTlsResume = false,
        CertificateChainPolicy = Policy(_ca, ClientAuthentication),
        RemoteCertificateValidationCallback = (_, certificate, _, _) =>
        {
            if (Judge(_ca, certificate as X509Certificate2, null, ClientAuthentication) is not { } reason)
                return true;
            refused(reason);
            return false;
        },
    };

    /// <summary>How this node connects to another one.</summary>
    /// <param name="peer">The name that the other one's certificate must have.</param>
    public SslClientAuthenticationOptions Client(string peer) => new()
    {
        TargetHost = peer,
        ClientCertificateContext = _own,
        EnabledSslProtocols = SslProtocols.Tls13,
        AllowTlsResume = false,
        CertificateChainPolicy = Policy(_ca, ServerAuthentication),
        RemoteCertificateValidationCallback = (_, certificate, _, _) =>
            Judge(_ca, certificate as X509Certificate2, peer, ServerAuthentication) is { } reason
                ? throw new AuthenticationException($"what answers there {reason}")
                : true,
    };

    /// <summary>Whether a certificate is one of a member that has this node's own name, as another coordinator of the cluster has.</summary>
    public bool IsNamesake(X509Certificate2? certificate) => Judge(_ca, certificate, Name, ClientAuthentication) is null;

    /// <summary>Why a certificate is refused, as a phrase that follows its owner; null where it is not.</summary>
    private static string? Judge(X509Certificate2 ca, X509Certificate2? certificate, string? peer, string purpose)
    {
        if (certificate is null)
            return "shows no certificate";
        using var chain = new X509Chain { ChainPolicy = Policy(ca, purpose) };
        if (!chain.Build(certificate))
        {
            var wrong = chain.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, (all, status) => all | status.Status);
            return (wrong & ~X509ChainStatusFlags.NotTimeValid) != 0
                ? "has a certificate that is none of this cluster's CA"
                : DateTime.Now < certificate.NotBefore
                    ? $"has a certificate that is good only from {certificate.NotBefore.ToUniversalTime():u} on"
                    : $"has a certificate that expired at {certificate.NotAfter.ToUniversalTime():u}";
        }

        return NodeName.Of(certificate) is not { } name ? "has a certificate that names no node"
            : peer is not null && name != peer ? $"has a certificate for {name}, must have one for {peer}"
            : null;
    }

    private static X509ChainPolicy Policy(X509Certificate2 ca, string purpose)
    {
        var policy = CertificateFiles.Trusting(ca);
        policy.ApplicationPolicy.Add(new Oid(purpose));
        return policy;
    }
}

/// <summary>Who must answer at an address, and what this node shows there.</summary>
/// <param name="Certificates">This node's.</param>
/// <param name="Name">The other node's name in its certificate.</param>
public sealed record NodePeer(NodeCertificates Certificates, string Name);
