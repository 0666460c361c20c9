using Distributed.Cluster.Certificates;

namespace Distributed.Cluster.Config;

/// <summary>The files, PEM, that a node proves with who it is and that it is a member. All three or none.</summary>
public sealed record TlsConfig
{
    /// <summary>What the node's files are called that a coordinator takes from a folder.</summary>
    public const string Coordinator = "coordinator";

    /// <summary>The certificate of the cluster's CA.</summary>
    public required string Ca { get; init; }

    /// <summary>This node's certificate.</summary>
    public required string Certificate { get; init; }

    /// <summary>Its key.</summary>
    public required string Key { get; init; }

    /// <summary>The flag that named the folder they are in, which errors name; null where each is named by a key of its own.</summary>
    private string? Flag { get; init; }

    // Read once; never part of what is written out as the config.
    private NodeCertificates? _loaded;

    /// <summary>Reads the files, the first time.</summary>
    /// <exception cref="Distributed.Core.InvalidInputException">They cannot be read, or are not what they must be.</exception>
    public NodeCertificates Load() => _loaded ??= NodeCertificates.Load(this);

    /// <summary>What a file is called for who has to mend it.</summary>
    /// <param name="key">Its key below <c>tls</c>.</param>
    internal string NameOf(string key) => Flag ?? $"tls.{key}";

    /// <summary>The files of a node as <c>certs issue</c> leaves them in a folder.</summary>
    public static TlsConfig InFolder(string folder, string node) => new()
    {
        Flag = "--tls-dir",
        Ca = Path.GetFullPath(CertificateFiles.Certificate(folder, CertificateFiles.Ca)),
        Certificate = Path.GetFullPath(CertificateFiles.Certificate(folder, node)),
        Key = Path.GetFullPath(CertificateFiles.Key(folder, node)),
    };
}
