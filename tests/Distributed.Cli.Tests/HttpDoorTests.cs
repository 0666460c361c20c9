using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed partial class HttpDoorTests : IDisposable
{
    private const string Key = "sk-correct-horse-battery";
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task Served_over_HTTPS_with_keys_and_no_secret_is_in_any_log()
    {
        var (certs, keys, wrong) = (_folder.Path("certs"), _folder.Path("keys"), _folder.Path("wrong"));
        await File.WriteAllTextAsync(keys, Key + "\n");
        await File.WriteAllTextAsync(wrong, "sk-guessed-by-a-stranger\n");
        await Cli.RunAsync("certs", "init", "--dir", certs);
        await Cli.RunAsync("certs", "issue", "coordinator", "--dir", certs, "--address", "127.0.0.1");
        await using var cli = Cli.Start(
            "serve", "--http", "127.0.0.1:0", "--workers", "1", "--log-level", "trace", "--api-key-file", keys,
            "--http-certificate", $"{certs}/coordinator.crt", "--http-key", $"{certs}/coordinator.key");
        var address = (await cli.SeeErrorAsync(Served())).Groups[1].Value;

        var right = await Cli.RunAsync("status", "--coordinator", address, "--tls-dir", certs, "--api-key-file", keys, "--log-level", "trace");
        var stranger = await Cli.RunAsync("status", "--coordinator", address, "--tls-dir", certs, "--api-key-file", wrong);
        var none = await Cli.RunAsync("sessions", "--coordinator", address, "--tls-dir", certs);
        var plain = await Cli.RunAsync("status", "--coordinator", address, "--api-key-file", keys);
        await cli.SignalAsync("TERM");
        var served = await cli.FinishAsync();

        Assert.Equal(0, right.ExitCode);
        Assert.Contains("ready", right.Out, StringComparison.Ordinal);
        Assert.Equal((1, 1, 1), (stranger.ExitCode, none.ExitCode, plain.ExitCode));
        Assert.Contains("wants an API key, or another one", Assert.Single(stranger.Errors), StringComparison.Ordinal);
        Assert.Contains("wants an API key", Assert.Single(none.Errors), StringComparison.Ordinal);
        Assert.Single(plain.Errors);
        // At this level Kestrel, routing and the grains have their say; what was shown is in none of it.
        Assert.Contains("/status", served.Error, StringComparison.Ordinal);
        var privateKey = File.ReadAllLines($"{certs}/coordinator.key")[1];
        Assert.All((string[])[Key, "sk-guessed", privateKey], secret => Assert.All(
            (CliResult[])[served, right, stranger, none, plain],
            result => Assert.DoesNotContain(secret, result.Out + result.Error, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Serving_other_machines_without_a_key_has_to_be_spelled_out_and_wrong_files_are_told()
    {
        await File.WriteAllTextAsync(_folder.Path("bad"), "good-key\nsecret with spaces\n");
        await File.WriteAllTextAsync(_folder.Path("empty"), "# none\n");

        var open = await Cli.RunAsync("serve", "--http", "0.0.0.0:0");
        var half = await Cli.RunAsync("serve", "--http-certificate", _folder.Path("a.crt"));
        var bad = await Cli.RunAsync("serve", "--http", "127.0.0.1:0", "--workers", "1", "--api-key-file", _folder.Path("bad"));
        var empty = await Cli.RunAsync("serve", "--http", "127.0.0.1:0", "--workers", "1", "--api-key-file", _folder.Path("empty"));

        Assert.All((CliResult[])[open, half, bad, empty], result => Assert.Equal(2, result.ExitCode));
        Assert.Contains("--http is 0.0.0.0:0: is for other machines too: give api-key-file", Assert.Single(open.Errors), StringComparison.Ordinal);
        Assert.Contains("http-key: is missing", Assert.Single(half.Errors), StringComparison.Ordinal);
        Assert.Contains("bad:2: api-key-file: must be visible ASCII", Assert.Single(bad.Errors), StringComparison.Ordinal);
        Assert.DoesNotContain("secret", bad.Error, StringComparison.Ordinal);
        Assert.Contains("must hold 1 to 1000 keys", Assert.Single(empty.Errors), StringComparison.Ordinal);
        await using var spelled = Cli.Start("serve", "--http", "0.0.0.0:0", "--workers", "1", "--insecure");
        await spelled.SeeErrorAsync(new Regex("is served on http://0.0.0.0:"));
    }

    public void Dispose() => _folder.Dispose();

    [GeneratedRegex(@"is served on https://(127\.0\.0\.1:\d+)\n")]
    private static partial Regex Served();
}
