using System.Diagnostics;
using System.Security.Cryptography.X509Certificates;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class CertsTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Files_are_the_owners_alone_and_are_never_overwritten()
    {
        var dir = _folder.Path("certs");
        var made = await Cli.RunAsync("certs", "init", "--dir", dir);
        var issued = await Cli.RunAsync("certs", "issue", "desktop", "--dir", dir, "--days", "30", "--address", "192.168.1.10", "--address", "desk.lan");
        var before = Directory.EnumerateFiles(dir).ToDictionary(path => path, File.ReadAllText);

        var again = await Cli.RunAsync("certs", "init", "--dir", dir);
        var twice = await Cli.RunAsync("certs", "issue", "desktop", "--dir", dir);

        Assert.Equal((0, $"{dir}/ca.crt\n{dir}/ca.key\n"), (made.ExitCode, made.Out));
        Assert.Equal((0, $"{dir}/desktop.crt\n{dir}/desktop.key\n"), (issued.ExitCode, issued.Out));
        Assert.Equal((2, 2, 2, 2), (again.ExitCode, again.Errors.Count, twice.ExitCode, twice.Errors.Count));
        Assert.All(twice.Errors, error => Assert.Contains("never overwritten", error, StringComparison.Ordinal));
        Assert.Equal(4, before.Count);
        Assert.All(before, file => Assert.Equal(file.Value, File.ReadAllText(file.Key)));
        Assert.All(before.Keys, path => Assert.Equal("rw-------", ModeOf(path)));
        using var certificate = X509CertificateLoader.LoadCertificateFromFile($"{dir}/desktop.crt");
        Assert.True(certificate.MatchesHostname("192.168.1.10") && certificate.MatchesHostname("desk.lan") && certificate.MatchesHostname("desktop"));
        Assert.InRange(certificate.NotAfter, DateTime.Now.AddDays(29), DateTime.Now.AddDays(31));
    }

    [Theory]
    [InlineData("NAME is b/d: must be", "issue", "b/d")]
    [InlineData("NAME is ca: is the CA's own", "issue", "ca")]
    [InlineData("--address is a:1: must be a host name", "issue", "a", "--address", "a:1")]
    [InlineData("--days is 0: must be a whole number from 1 to 3650", "issue", "a", "--days", "0")]
    [InlineData("has no CA: make one with `distributed certs init`", "issue", "a")]
    public async Task What_is_wrong_is_told_and_nothing_is_written(string error, params string[] words)
    {
        var result = await Cli.RunAsync(["certs", .. words, "--dir", _folder.Path("none")]);

        Assert.Equal(2, result.ExitCode);
        Assert.Contains(error, Assert.Single(result.Errors), StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder.Path("none")));
    }

    private static string ModeOf(string path)
    {
        using var stat = Process.Start(new ProcessStartInfo("stat", ["-c", "%A", path]) { RedirectStandardOutput = true })!;
        return stat.StandardOutput.ReadToEnd().Trim()[1..];
    }

    public void Dispose() => _folder.Dispose();
}
