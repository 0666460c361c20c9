using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>One bar for something long whose length is known; gone when it is done. Nothing where stderr is no terminal.</summary>
internal static class ProgressBar
{
    /// <summary>Shows a bar for as long as <paramref name="work"/> takes.</summary>
    /// <param name="terminal">Where.</param>
    /// <param name="description">What stands in front of it.</param>
    /// <param name="total">What the end is, in the unit of the reports.</param>
    /// <param name="work">Told where to report how far it is; null for nowhere.</param>
    public static Task ShowAsync(Terminal terminal, string description, long total, Func<IProgress<long>?, Task> work) =>
        terminal.ShowsProgress
            ? terminal.ErrorConsole.Progress()
                .AutoClear(true)
                .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
                .StartAsync(context => work(new Bar(context.AddTask(Markup.Escape(description), maxValue: Math.Max(1, total)))))
            : work(null);

    private sealed class Bar(ProgressTask task) : IProgress<long>
    {
        public void Report(long value) => task.Value = value;
    }
}
