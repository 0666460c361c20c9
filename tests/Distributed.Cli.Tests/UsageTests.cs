using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Core;

namespace Distributed.Cli.Tests;

public class UsageTests
{
    [Theory]
    [InlineData("a verb is missing")]
    [InlineData("sing: is no verb; the verbs are run, serve, worker, plan, status, sessions, drain, rebalance, inspect, tokenize, logits, quantize, perplexity, bench, lab, certs", "sing")]
    [InlineData("--nope: run has no such flag", "run", "--nope", "Hello!")]
    [InlineData("-x: run has no such flag", "run", "-x")]
    [InlineData("there: one word too many; a text of several words goes in quotes", "run", "Hello", "there")]
    [InlineData("--link is delay=1: " + LinkShape.Rule, "run", "--link", "delay=1")]
    [InlineData("--link is delay=1ms: needs --workers: without them nothing is sent", "bench", "--link", "delay=1ms")]
    [InlineData("--wire is q9: must be one of f32, f16, q8_0", "serve", "--wire", "q9")]
    [InlineData("--device is gpu: must be one of cpu, cuda:N, opencl:N, ilgpu-cpu", "plan", "--device", "gpu")]
    [InlineData("--store-size is 5: " + ByteSize.Rule, "worker", "--store-size", "5")]
    [InlineData("--workers is 0: must be a whole number from 1 to 16", "run", "--workers", "0")]
    [InlineData("--system: cannot stand beside --raw, which uses no chat template", "run", "--raw", "--system", "x")]
    [InlineData("--listen is here: " + NodeAddress.Rule, "worker", "--listen", "here")]
    [InlineData("--name is a\uFFFDb: " + ClusterValidator.WorkerNameRule, "worker", "--name", "a\tb")]
    [InlineData("--json: needs --profile or --list", "worker", "--json")]
    [InlineData("--memory is =1GiB: must be sizes per device with their units, like cpu=8GiB or cpu=512MiB", "worker", "--memory", "=1GiB")]
    [InlineData("--coordinator is 0.0.0.0:0: must be HOST:PORT with a port from 1 to 65535", "status", "--coordinator", "0.0.0.0:0")]
    [InlineData("--http is unix:/x: must be HOST:PORT", "serve", "--http", "unix:/x")]
    [InlineData("--model: needs a value, FILE", "run", "--model")]
    [InlineData("--stop: needs a value, TEXT", "run", "--stop")]
    [InlineData("--stop is --raw: needs a value, and --raw is a flag", "run", "--stop", "--raw", "Hello!")]
    [InlineData("--seed is --help: needs a value, and --help is a flag", "run", "--seed", "--help")]
    [InlineData("--model is a and b: must be given once", "run", "-m", "a", "--model", "b")]
    [InlineData("TYPE: is missing", "quantize", "in", "out")]
    [InlineData("--out: is missing", "logits", "--ids", "1")]
    [InlineData("--texts is /dev/zero: must have at most 268435456 characters", "tokenize", "--texts", "/dev/zero")]
    public async Task Wrong_usage_is_told_on_stderr_and_exits_with_2(string error, params string[] args)
    {
        var result = await Cli.RunAsync(args);

        Assert.Equal(2, result.ExitCode);
        Assert.Equal("", result.Out);
        Assert.Equal([$"error: {error}"], result.Errors);
    }

    [Fact]
    public async Task All_wrong_flags_are_told_at_once()
    {
        var result = await Cli.RunAsync(
            "run", "--top-p", "7", "--top-k", "x", "--seed", "-1", "--kv-type", "q9", "--stop", "", "-c", "x.yaml", "--workers", "2", "--nope");

        Assert.Equal(2, result.ExitCode);
        Assert.Equal(
            [
                "error: --nope: run has no such flag",
                "error: --workers: cannot stand beside --cluster, whose workers run already",
                "error: --kv-type is q9: must be one of f32, f16, q8_0",
                "error: --top-k is x: must be a whole number of at least 0",
                "error: --top-p is 7: must be above 0 and at most 1",
                "error: --seed is -1: must be a whole number from 0 to 18446744073709551615",
                "error: --stop: must not be empty",
            ],
            result.Errors);
    }

    [Fact]
    public async Task Help_goes_to_stdout_and_lists_only_verbs_that_exist()
    {
        var result = await Cli.RunAsync("--help");

        Assert.Equal(0, result.ExitCode);
        Assert.Equal("", result.Error);
        var verbs = result.Out[result.Out.IndexOf("Commands:", StringComparison.Ordinal)..].Split('\n')
            .Where(line => line.StartsWith("  ", StringComparison.Ordinal)).Select(line => line.Trim().Split(' ')[0]);
        Assert.Equal(
            ["run", "serve", "worker", "plan", "status", "sessions", "drain", "rebalance", "inspect", "tokenize", "logits", "quantize", "perplexity", "bench", "lab", "certs"], verbs);
    }

    [Fact]
    public async Task Help_of_a_verb_shows_no_flag_that_is_not_in_this_version()
    {
        var result = await Cli.RunAsync("run", "--help");

        Assert.Equal(0, result.ExitCode);
        Assert.Contains("--temperature", result.Out);
        Assert.DoesNotContain("not in this version", result.Out, StringComparison.OrdinalIgnoreCase);
    }
}
