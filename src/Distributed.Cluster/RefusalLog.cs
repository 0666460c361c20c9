using Microsoft.Extensions.Logging;

namespace Distributed.Cluster;

/// <summary>Says once who was refused and why; a repetition within a minute is only counted, so that nobody fills a disk by knocking.</summary>
/// <param name="log">Where to.</param>
internal sealed partial class RefusalLog(ILogger log)
{
    private const int MaxKnown = 256;
    private static readonly TimeSpan Quiet = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<(string Who, string Reason), (long Told, int Silent)> _known = [];

    /// <summary>Somebody is refused.</summary>
    /// <param name="who">An address, or how else to call him.</param>
    /// <param name="reason">A phrase that follows it.</param>
    public void Add(string who, string reason)
    {
        var now = Environment.TickCount64;
        int silent;
        lock (_lock)
        {
            if (_known.TryGetValue((who, reason), out var known) && now - known.Told < Quiet.TotalMilliseconds)
            {
                _known[(who, reason)] = known with { Silent = known.Silent + 1 };
                return;
            }

            silent = known.Silent;
            if (_known.Count >= MaxKnown)
                _known.Clear();
            _known[(who, reason)] = (now, 0);
        }

        LogRefused(log, who, reason, silent > 0 ? $", as {silent} times before" : "");
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "refused: {Who} {Reason}{Before}")]
    private static partial void LogRefused(ILogger logger, string who, string reason, string before);
}
