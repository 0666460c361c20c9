using Distributed.Coordinator;
using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>One bar per stage while its weights load; gone when all are ready. Nothing where stderr is no terminal.</summary>
internal static class LoadingBars
{
    /// <summary>Shows bars for as long as <paramref name="load"/> takes.</summary>
    /// <param name="terminal">Where.</param>
    /// <param name="load">Loads; told where to report how far it is, null for nowhere.</param>
    public static Task<T> ShowAsync<T>(Terminal terminal, Func<IProgress<LoadingProgress>?, Task<T>> load) => terminal.ShowsProgress
        ? terminal.ErrorConsole.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn())
            .StartAsync(context => load(new Bars(context)))
        : load(null);

    private sealed class Bars(ProgressContext context) : IProgress<LoadingProgress>
    {
        private readonly Dictionary<int, ProgressTask> _stages = [];

        public void Report(LoadingProgress value)
        {
            lock (_stages)
            {
                if (!_stages.TryGetValue(value.Stage, out var bar))
                    _stages[value.Stage] = bar = context.AddTask($"loading stage {value.Stage}");
                var isSending = value.BytesReceived < value.BytesToReceive;
                bar.Description = isSending ? $"sending to stage {value.Stage}" : $"loading stage {value.Stage}";
                bar.MaxValue = Math.Max(1, isSending ? value.BytesToReceive : value.BytesTotal);
                bar.Value = isSending ? value.BytesReceived : value.BytesReady;
            }
        }
    }
}
