using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public class RunTests
{
    private const string Story = "Tell me a story about a fox.";

    public static TheoryData<int, string, string> Cases()
    {
        // One prompt with each number of workers: every run starts its own, which takes seconds.
        var data = new TheoryData<int, string, string>();
        foreach (var (i, answer) in ExpectedAnswers.All.Take(3).Index())
            data.Add(1 + i, answer.Prompt, answer.Text);
        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Greedy_answer_is_the_reference_text_with_any_number_of_workers(int workers, string prompt, string text)
    {
        var result = await Cli.RunAsync("run", "--temperature", "0", "--workers", $"{workers}", prompt);

        Assert.Equal((0, text + "\n"), (result.ExitCode, result.Out));
        Assert.Equal(workers, result.Error.Split('\n').Count(line => line.Contains("worker-")));
    }

    [Fact]
    public async Task Log_level_reaches_the_workers_and_the_grains_and_leaves_stdout_alone()
    {
        var told = await Cli.RunAsync("run", "--log-level", "info", "--temperature", "0", "--workers", "1", "Hello!");

        Assert.Equal((0, "Hello! Shall I tell you a story?\n"), (told.ExitCode, told.Out));
        Assert.Contains("info: Microsoft.AspNetCore.", told.Error);
        Assert.Contains("info: Orleans.", told.Error);
    }

    [Fact]
    public async Task Stderr_has_the_placement_and_ends_with_one_line_of_figures()
    {
        var result = await Cli.RunAsync("run", "--temperature", "0", "Hello!");

        var lines = result.Error.TrimEnd('\n').Split('\n');
        Assert.Matches(@"^stage +worker +device +layers +weights +KV cache +scratch +total *$", lines[0]);
        Assert.Matches(@"^ +0 +worker-0 +cpu +0-2 ", lines[1]);
        Assert.Matches(@"^ +2 +worker-2 +cpu +6-7 ", lines[3]);
        Assert.Equal(6, lines.Length);
        Assert.Matches(
            @"^predicted/measured: decode [\d.]+/[\d.]+ ms per token \([-+]?\d+ %\) · hop 0 [\d.]+/[\d.]+ ms, stage 0 [\d.]+/[\d.]+ ms, .*" +
            @"stage 2 [\d.]+/[\d.]+ ms, hop 3 [\d.]+/[\d.]+ ms · prefill [\d.]+/[\d.]+ ms ",
            lines[4]);
        Assert.Matches(
            @"^prompt \d+ tokens, [\d.]+ tok/s · generated \d+ tokens, [\d.]+ tok/s" +
            @" · stage 0 [\d.]+ ms, hop [\d.]+ ms, stage 1 [\d.]+ ms, hop [\d.]+ ms, stage 2 [\d.]+ ms",
            lines[5]);
        Assert.DoesNotContain('\e', result.Error);
    }

    [Fact]
    public async Task Piped_stdin_is_the_prompt()
    {
        var answer = ExpectedAnswers.All[3];

        var result = await Cli.RunAsync($"{answer.Prompt}\n", ["run", "--temperature", "0", "--workers", "1"]);

        Assert.Equal((0, $"{answer.Text}\n"), (result.ExitCode, result.Out));
    }

    [Fact]
    public async Task Seed_that_is_told_repeats_the_text_with_any_number_of_workers_and_another_one_gives_another()
    {
        var first = await Cli.RunAsync("run", "--workers", "1", "-n", "60", Story);
        var seed = Regex.Match(first.Error, @" · seed (\d+)\n$").Groups[1].Value;
        var second = await Cli.RunAsync("run", "--seed", seed, "--workers", "2", "-n", "60", Story);
        var third = await Cli.RunAsync("run", "--seed", $"{ulong.Parse(seed) / 2}", "--workers", "1", "-n", "60", Story);

        Assert.Equal(first.Out, second.Out);
        Assert.NotEqual(first.Out, third.Out);
        Assert.EndsWith($" · seed {seed}\n", second.Error);
    }

    [Fact]
    public async Task Stop_text_ends_the_answer_before_it()
    {
        var result = await Cli.RunAsync(
            "run", "--temperature", "0", "--workers", "1", "--stop", "nothing", "--stop", " of past", "What is a KV cache?");

        Assert.Equal((0, "A KV cache keeps the keys and values\n"), (result.ExitCode, result.Out));
    }

    [Fact]
    public async Task Max_tokens_limits_the_answer()
    {
        var result = await Cli.RunAsync("run", "--temperature", "0", "--workers", "1", "-n", "3", "What is a KV cache?");

        Assert.Equal(0, result.ExitCode);
        Assert.Contains("generated 3 tokens", result.Error);
        Assert.StartsWith(result.Out.TrimEnd('\n'), "A KV cache keeps the keys and values");
    }

    [Fact]
    public async Task Raw_prompt_is_continued_without_a_template()
    {
        var result = await Cli.RunAsync(
            "run", "--raw", "--temperature", "0", "--workers", "1", "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n");

        Assert.Equal((0, "Hello! Shall I tell you a story?\n"), (result.ExitCode, result.Out));
    }

    [Fact]
    public async Task Model_without_a_chat_template_is_refused_with_a_hint_at_raw()
    {
        var result = await Cli.RunAsync("run", "-m", Golden.Path("architectures/llama.gguf"), "Hello!");

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Matches("llama.gguf: tokenizer.chat_template: .*--raw", Assert.Single(result.Errors));
    }

    [Fact]
    public async Task Prompt_longer_than_the_context_is_refused()
    {
        var result = await Cli.RunAsync("run", "--workers", "1", "--context", "20", string.Join(' ', Enumerable.Repeat("fox", 40)));

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Contains("must be shorter than the context of 20 tokens", Assert.Single(result.Errors));
    }

    [Fact]
    public async Task Full_context_ends_the_answer_with_a_warning()
    {
        var result = await Cli.RunAsync("run", "--temperature", "0", "--workers", "1", "--context", "24", "What is a KV cache?");

        Assert.Equal(0, result.ExitCode);
        Assert.Contains("warning: the context of 24 tokens is full", result.Error);
    }
}
