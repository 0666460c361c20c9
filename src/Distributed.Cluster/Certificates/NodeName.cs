using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Distributed.Cluster.Certificates;

/// <summary>
/// The name of a node in its certificate: a URI of its own among the subject's alternative names (RFC 5280, 4.2.1.6), apart from the
/// host names and addresses there, so that no address can pass for a node's name.
/// </summary>
internal static class NodeName
{
    private const string Prefix = "urn:distributed:node:";
    private const string AlternativeNames = "2.5.29.17";
    private static readonly Asn1Tag Uri = new(TagClass.ContextSpecific, 6);

    /// <summary>The URI that stands for a name.</summary>
    public static Uri UriOf(string name) => new(Prefix + name);

    /// <summary>The node's name; null where the certificate has none, or more than one.</summary>
    public static string? Of(X509Certificate2 certificate)
    {
        try
        {
            var names = certificate.Extensions.Where(extension => extension.Oid?.Value == AlternativeNames).SelectMany(Read).ToList();
            return names is [var name] ? name : null;
        }
        catch (Exception error) when (error is AsnContentException or CryptographicException)
        {
            return null;
        }
    }

    private static List<string> Read(X509Extension extension)
    {
        var names = new List<string>();
        var sequence = new AsnReader(extension.RawData, AsnEncodingRules.DER).ReadSequence();
        while (sequence.HasData)
        {
            if (sequence.PeekTag() != Uri)
                sequence.ReadEncodedValue();
            else if (sequence.ReadCharacterString(UniversalTagNumber.IA5String, Uri) is var uri && uri.StartsWith(Prefix, StringComparison.Ordinal))
                names.Add(uri[Prefix.Length..]);
        }

        return names;
    }
}
