using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>Workers with certificates, and who they let in.</summary>
public sealed partial class ClosedDoorTests : IDisposable
{
    private readonly TempFolder _folder = new();

    private string Certs => _folder.Path("certs");

    [Fact]
    public async Task Members_answer_with_the_tokens_of_a_run_in_plain_text()
    {
        await IssueAsync("certs", "coordinator", "one", "two");
        await using var one = await RunningWorker.StartAsync("one", "--tls-dir", Certs);
        await using var two = await RunningWorker.StartAsync("two", "--tls-dir", Certs);
        var named = WriteCluster("named.yaml", "one", one.Address, two.Address, Tls);
        var bare = WriteCluster("bare.yaml", "one", one.Address, two.Address);
        string[] ask = ["--temperature", "0.8", "--seed", "5", "-n", "40", "Tell me a story about a fox."];

        var plain = await Cli.RunAsync(["run", "--workers", "2", .. ask]);
        var byFile = await Cli.RunAsync(["run", "-c", named, .. ask]);
        var byFlag = await Cli.RunAsync(["run", "-c", bare, "--tls-dir", Certs, .. ask]);
        var links = await Cli.RunAsync("lab", "links", "-c", named, "-r", "5");

        Assert.Equal((0, plain.Out), (byFile.ExitCode, byFile.Out));
        Assert.Equal((0, plain.Out), (byFlag.ExitCode, byFlag.Out));
        Assert.Contains("    1  two", byFile.Error, StringComparison.Ordinal);
        Assert.Equal(0, links.ExitCode);
    }

    [Fact]
    public async Task A_worker_that_shows_the_certificate_of_another_one_is_refused_by_coordinator_and_worker()
    {
        await IssueAsync("certs", "coordinator", "one", "two");
        await using var one = await RunningWorker.StartAsync("one", "--tls-dir", Certs);
        await using var two = await RunningWorker.StartAsync("two", "--tls-dir", Certs);

        var result = await Cli.RunAsync("run", "-c", WriteCluster("c.yaml", "uno", one.Address, two.Address, Tls), "Hello!");
        var name = await Cli.RunAsync("worker", "--listen", "127.0.0.1:0", "--name", "three", "--tls-dir", Certs);

        Assert.Equal((1, ""), (result.ExitCode, result.Out));
        Assert.Contains("has a certificate for one, must have one for uno", Assert.Single(result.Errors), StringComparison.Ordinal);
        Assert.Equal(2, name.ExitCode);
        Assert.Contains("three.crt", name.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Coordinators_that_are_no_members_are_refused_with_the_reason_on_both_sides()
    {
        await IssueAsync("certs", "coordinator", "one", "two");
        await IssueAsync("strangers", "coordinator");
        Expire("coordinator", "old");
        await using var one = await RunningWorker.StartAsync("one", "--tls-dir", Certs);
        await using var two = await RunningWorker.StartAsync("two", "--tls-dir", Certs);
        var bare = WriteCluster("bare.yaml", "one", one.Address, two.Address);

        var plain = await Cli.RunAsync("run", "-c", bare, "Hello!");
        var stranger = await Cli.RunAsync("run", "-c", bare, "--tls-dir", _folder.Path("strangers"), "Hello!");
        var old = await Cli.RunAsync("run", "-c", bare, "--tls-dir", _folder.Path("old"), "Hello!");

        Assert.Equal((1, 1, 2), (plain.ExitCode, stranger.ExitCode, old.ExitCode));
        Assert.Contains("as a node with certificates does", Assert.Single(plain.Errors), StringComparison.Ordinal);
        Assert.Contains("none of this cluster's CA", Assert.Single(stranger.Errors), StringComparison.Ordinal);
        Assert.Contains("coordinator.crt: has a certificate that expired at", Assert.Single(old.Errors), StringComparison.Ordinal);
        Assert.Equal(0, (await Cli.RunAsync("run", "-c", bare, "--tls-dir", Certs, "-n", "2", "Hello!")).ExitCode);
    }

    [Fact]
    public async Task Whoever_else_connects_is_told_of_once_and_leaves_nothing()
    {
        await IssueAsync("certs", "coordinator", "one");
        await IssueAsync("strangers", "one");
        Expire("one", "old");
        await using var worker = await RunningWorker.StartAsync("one", "--tls-dir", Certs, "--log-level", "info");
        await ConnectAsync(worker.Address, Certs, "coordinator");
        var before = await HandlesAsync(worker);

        for (var round = 0; round < 5; round++)
        {
            await RefusedAsync(() => ConnectAsync(worker.Address, _folder.Path("strangers"), "one"));
            await RefusedAsync(() => ConnectAsync(worker.Address, _folder.Path("old"), "one"));
            await RefusedAsync(() => ConnectAsync(worker.Address, null, null));
            foreach (var words in (string[])["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\u0001\u0002what is this?"])
                Assert.Equal(0, await SayAsync(worker.Address, words));
        }

        Assert.Equal(0, await SayAsync(worker.Address, "P"));
        await AssertBackToAsync(before, worker);
        await ConnectAsync(worker.Address, Certs, "coordinator");
        await worker.Cli.SignalAsync("TERM");
        var log = (await worker.Cli.FinishAsync()).Error;
        string[] reasons =
        [
            "has a certificate that is none of this cluster's CA", "has a certificate that expired at", "shows no certificate",
            "speaks HTTP/1, not the workers' protocol", "speaks in plain text, without a certificate", "speaks another protocol",
            "did not say who it is within 5 s",
        ];
        Assert.All(reasons, reason => Assert.Single(log.Split('\n'), line => line.Contains($"refused: 127.0.0.1 {reason}", StringComparison.Ordinal)));
        Assert.Equal(reasons.Length, Refusals().Count(log));
    }

    [Fact]
    public async Task Plain_text_to_other_machines_has_to_be_spelled_out()
    {
        var cluster = WriteCluster("c.yaml", "one", "192.0.2.1:7100", "192.0.2.2:7100");

        var worker = await Cli.RunAsync("worker", "--listen", "0.0.0.0:0");
        var run = await Cli.RunAsync("run", "-c", cluster, "Hello!");
        var both = await Cli.RunAsync("run", "-c", WriteCluster("b.yaml", "one", "192.0.2.1:7100", "192.0.2.2:7100", Tls), "--insecure", "Hello!");

        Assert.Equal((2, 2, 2), (worker.ExitCode, run.ExitCode, both.ExitCode));
        Assert.Contains("--tls-dir DIR", Assert.Single(worker.Errors), StringComparison.Ordinal);
        Assert.Contains("--insecure", worker.Errors[0], StringComparison.Ordinal);
        Assert.Equal(2, run.Errors.Count);
        Assert.All(run.Errors, error => Assert.Contains("insecure: true", error, StringComparison.Ordinal));
        Assert.Contains("cannot stand beside tls", Assert.Single(both.Errors), StringComparison.Ordinal);
        await using var open = Cli.Start("worker", "--name", "open", "--listen", "0.0.0.0:0", "--insecure");
        await open.SeeAsync(new Regex("open listens on 0.0.0.0:"));
    }

    public void Dispose() => _folder.Dispose();

    private static string Tls => "tls: { ca: certs/ca.crt, certificate: certs/coordinator.crt, key: certs/coordinator.key }\n";

    private async Task IssueAsync(string folder, params string[] nodes)
    {
        Assert.Equal(0, (await Cli.RunAsync("certs", "init", "--dir", _folder.Path(folder))).ExitCode);
        foreach (var node in nodes)
            Assert.Equal(0, (await Cli.RunAsync("certs", "issue", node, "--dir", _folder.Path(folder))).ExitCode);
    }

    // A folder with a certificate of the same CA that was good until a minute ago.
    private void Expire(string node, string folder)
    {
        Directory.CreateDirectory(_folder.Path(folder));
        foreach (var file in (string[])["ca.crt", "ca.key"])
            File.Copy(Path.Combine(Certs, file), Path.Combine(_folder.Path(folder), file));
        var now = DateTimeOffset.UtcNow;
        CertificateAuthority.Issue(_folder.Path(folder), node, now.AddMinutes(-30), now.AddMinutes(-1), []);
    }

    private string WriteCluster(string file, string first, string one, string two, string more = "")
    {
        File.WriteAllText(
            _folder.Path(file),
            $"model: {Repository.SampleModel}\n{more}split: all\nworkers:\n  - {{ name: {first}, address: \"{one}\" }}\n  - {{ name: two, address: \"{two}\" }}\n");
        return _folder.Path(file);
    }

    // A TLS client that takes whatever the worker shows, and waits for the worker's first word: HTTP/2's settings.
    private static async Task ConnectAsync(string address, string? folder, string? node)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(System.Net.IPEndPoint.Parse(address));
        await using var stream = new SslStream(client.GetStream());
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var own = folder is null ? null : CertificateFiles.ReadPair("", CertificateFiles.Certificate(folder, node!), CertificateFiles.Key(folder, node!));
        await stream.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = "one",
                ApplicationProtocols = [SslApplicationProtocol.Http2],
                ClientCertificateContext = own is null ? null : SslStreamCertificateContext.Create(own, null, offline: true),
                RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is X509Certificate2,
            },
            timeout.Token);
        await stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0"u8.ToArray(), timeout.Token);
        Assert.True(await stream.ReadAsync(new byte[9], timeout.Token) > 0 ? true : throw new IOException("closed"));
    }

    private static async Task RefusedAsync(Func<Task> connect)
    {
        var error = await Assert.ThrowsAnyAsync<Exception>(connect);
        Assert.True(error is IOException or AuthenticationException, error.ToString());
    }

    // Says something in plain text; how many bytes come back before the connection is closed.
    private static async Task<int> SayAsync(string address, string words)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(System.Net.IPEndPoint.Parse(address));
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        try
        {
            await client.GetStream().WriteAsync(System.Text.Encoding.Latin1.GetBytes(words), timeout.Token);
            return await client.GetStream().ReadAsync(new byte[100], timeout.Token);
        }
        catch (IOException)
        {
            return 0;
        }
    }

    private static async Task AssertBackToAsync(int handles, RunningWorker worker)
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (await HandlesAsync(worker) > handles)
            await Task.Delay(50, timeout.Token);
    }

    // Sockets alone: the runtime opens files when it likes.
    private static Task<int> HandlesAsync(RunningWorker worker) => Task.FromResult(
        Directory.EnumerateFileSystemEntries($"/proc/{worker.Cli.Id}/fd")
            .Count(path => File.ResolveLinkTarget(path, returnFinalTarget: false)?.Name.StartsWith("socket:", StringComparison.Ordinal) == true));

    [GeneratedRegex("refused: ")]
    private static partial Regex Refusals();
}
