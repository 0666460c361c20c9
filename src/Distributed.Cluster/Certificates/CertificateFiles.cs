using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Distributed.Core;

namespace Distributed.Cluster.Certificates;

/// <summary>Certificates and keys in a folder, as PEM: <c>ca.crt</c> and <c>ca.key</c>, <c>NAME.crt</c> and <c>NAME.key</c>.</summary>
public static class CertificateFiles
{
    /// <summary>What the CA's files are called; no node may be.</summary>
    public const string Ca = "ca";

    private const int MaxBytes = 64 << 10;

    /// <summary>A certificate's file.</summary>
    public static string Certificate(string folder, string name) => Path.Combine(folder, $"{name}.crt");

    /// <summary>A key's file.</summary>
    public static string Key(string folder, string name) => Path.Combine(folder, $"{name}.key");

    /// <summary>Writes both, to be read by their owner alone. Nothing that is there is overwritten.</summary>
    /// <exception cref="InvalidInputException">One of the files is there.</exception>
    /// <exception cref="IOException">The folder cannot be made or written.</exception>
    internal static void Write(string folder, string name, X509Certificate2 certificate, ECDsa key)
    {
        CheckAbsent(folder, name);
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(folder);
        else
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        WriteNew(Key(folder, name), key.ExportPkcs8PrivateKeyPem());
        try
        {
            WriteNew(Certificate(folder, name), certificate.ExportCertificatePem());
        }
        catch
        {
            File.Delete(Key(folder, name));
            throw;
        }
    }

    /// <summary>Refuses names whose files are there.</summary>
    /// <exception cref="InvalidInputException">One of them is.</exception>
    internal static void CheckAbsent(string folder, string name)
    {
        var there = new[] { Key(folder, name), Certificate(folder, name) }.Where(File.Exists).ToList();
        if (there.Count > 0)
            throw new InvalidInputException([.. there.Select(path => new InputError("--dir", path, "is there already, and is never overwritten"))]);
    }

    /// <summary>Reads a certificate.</summary>
    /// <param name="key">What the file is called where it was named, for the error.</param>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidInputException">It cannot be read or is none.</exception>
    internal static X509Certificate2 ReadCertificate(string key, string path) =>
        Read(key, path, "a certificate in PEM format", text => X509Certificate2.CreateFromPem(text));

    /// <summary>Trust in a folder's CA, and in nothing else.</summary>
    /// <param name="key">What the folder is called where it was named, for the error.</param>
    /// <param name="folder">The folder.</param>
    /// <exception cref="InvalidInputException">It has no CA.</exception>
    public static X509ChainPolicy Trusting(string key, string folder) => Trusting(ReadCertificate(key, Certificate(folder, Ca)));

    /// <summary>Trust in a CA, and in nothing else.</summary>
    /// <param name="key">What its certificate's file is called where it was named, for the error.</param>
    /// <param name="path">That file.</param>
    /// <exception cref="InvalidInputException">It cannot be read or is none.</exception>
    public static X509ChainPolicy TrustingFile(string key, string path) => Trusting(ReadCertificate(key, path));

    /// <summary>Trust in a CA, and in nothing else.</summary>
    internal static X509ChainPolicy Trusting(X509Certificate2 ca) => new()
    {
        TrustMode = X509ChainTrustMode.CustomRootTrust,
        CustomTrustStore = { ca },
        RevocationMode = X509RevocationMode.NoCheck,
        DisableCertificateDownloads = true,
    };

    /// <summary>Reads a certificate with its key.</summary>
    /// <param name="prefix">What stands before the keys <c>certificate</c> and <c>key</c>, for errors.</param>
    /// <param name="certificatePath">The certificate's file.</param>
    /// <param name="keyPath">The key's file.</param>
    /// <exception cref="InvalidInputException">One cannot be read, or they do not belong together.</exception>
    public static X509Certificate2 ReadPair(string prefix, string certificatePath, string keyPath) =>
        ReadPair(key => $"{prefix}{key}", certificatePath, keyPath);

    /// <summary>The same, with what each of the two keys is called in errors.</summary>
    internal static X509Certificate2 ReadPair(Func<string, string> nameOf, string certificatePath, string keyPath)
    {
        using var certificate = ReadCertificate(nameOf("certificate"), certificatePath);
        return Read(nameOf("key"), keyPath, $"the private key of {certificatePath} in PEM format", text =>
        {
            using var pair = X509Certificate2.CreateFromPem(certificate.ExportCertificatePem(), text);
            // Some systems use keys from a store only.
            return X509CertificateLoader.LoadPkcs12(pair.Export(X509ContentType.Pkcs12), null);
        });
    }

    private static T Read<T>(string key, string path, string what, Func<string, T> parse)
    {
        try
        {
            if (new FileInfo(path).Length > MaxBytes)
                throw new InvalidInputException(key, path, $"must be {what}, at most {ByteSize.Format(MaxBytes)}");
            return parse(File.ReadAllText(path));
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InvalidInputException(key, path, "does not exist");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InvalidInputException(key, path, $"cannot be read: {error.Message}");
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException)
        {
            // What the file holds is not repeated: it may be a key.
            throw new InvalidInputException(key, path, $"must be {what}");
        }
    }

    private static void WriteNew(string path, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var file = new StreamWriter(path, options);
        file.WriteLine(text);
    }
}
