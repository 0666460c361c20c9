using System.Diagnostics;

namespace Distributed.Cli.Tests;

public class InterruptTests
{
    // The model's answers are short: a bare beginning with every token allowed goes on until the context is full.
    private static readonly string[] LongRun =
    [
        "run", "--raw", "--temperature", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "7", "--workers", "2",
        "Once upon a time",
    ];

    [Fact]
    public async Task Ctrl_C_ends_the_answer_and_the_workers_and_exits_with_130()
    {
        await using var cli = Cli.Start(LongRun);
        await cli.SeeAnswerAsync();
        var workers = cli.Children();

        await cli.SignalAsync("INT");
        var result = await cli.FinishAsync();

        Assert.Equal(130, result.ExitCode);
        Assert.Equal(2, workers.Count);
        Assert.DoesNotContain("   at ", result.Error);
        Assert.Empty(result.Errors);
        await Cli.AllEndedAsync(workers);
    }

    [Fact]
    public async Task Ctrl_C_while_workers_start_is_quiet()
    {
        await using var cli = Cli.Start(LongRun);
        await cli.ChildrenAsync(1);

        await cli.SignalAsync("INT");

        Assert.Equal(new CliResult(130, "", ""), await cli.FinishAsync());
    }

    [Fact]
    public async Task Second_Ctrl_C_ends_at_once()
    {
        await using var cli = Cli.Start(LongRun);
        await cli.SeeAnswerAsync();
        // Workers that stand still keep the first Ctrl-C from ending cleanly.
        foreach (var worker in cli.Children())
            await Cli.SignalAsync("STOP", worker);
        var workers = cli.Children();
        var clock = Stopwatch.StartNew();
        var ending = cli.ExitAsync();
        // One that comes before the last one is taken counts as the same: they are sent until a second one is taken.
        while (!ending.IsCompleted && clock.Elapsed < TimeSpan.FromSeconds(4))
        {
            await cli.TrySignalAsync("INT");
            await Task.WhenAny(ending, Task.Delay(100));
        }

        Assert.Equal(130, await ending);
        Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(2));
        foreach (var worker in workers)
            await Cli.SignalAsync("CONT", worker);
        await Cli.AllEndedAsync(workers);
    }

    [Fact]
    public async Task Workers_end_when_the_run_ends_well()
    {
        await using var cli = Cli.Start("run", "--temperature", "0", "--workers", "2", "-n", "2", "Tell me a story about a fox.");
        var workers = await cli.ChildrenAsync(2);

        var result = await cli.FinishAsync();

        Assert.Equal(0, result.ExitCode);
        Assert.Equal(2, workers.Count);
        await Cli.AllEndedAsync(workers);
    }

    [Fact]
    public async Task Workers_end_when_the_run_is_killed()
    {
        await using var cli = Cli.Start(LongRun);
        await cli.SeeAnswerAsync();
        var workers = cli.Children();

        await cli.SignalAsync("KILL");

        Assert.Equal(2, workers.Count);
        await Cli.AllEndedAsync(workers);
    }

    [Fact]
    public async Task Lost_worker_is_told_in_one_line_and_the_answer_goes_on_without_it()
    {
        await using var cli = Cli.Start([.. LongRun, "-n", "200", "--link", "delay=3ms"]);
        await cli.SeeAnswerAsync();

        await Cli.SignalAsync("KILL", cli.Children()[1]);
        var result = await cli.FinishAsync();

        Assert.Equal(0, result.ExitCode);
        Assert.DoesNotContain("   at ", result.Error);
        Assert.Empty(result.Errors);
        Assert.Matches(@"\nrecovered: worker-\d lost ", result.Error);
    }
}
