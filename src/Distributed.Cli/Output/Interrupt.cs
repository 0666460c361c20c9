using System.Runtime.InteropServices;

namespace Distributed.Cli.Output;

/// <summary>
/// Ctrl-C and SIGTERM. The first one cancels what runs, so that it can end cleanly; a second Ctrl-C ends the process at once.
/// </summary>
internal sealed class Interrupt : IDisposable
{
    private readonly CancellationTokenSource _whole = new();
    private readonly PosixSignalRegistration _ctrlC;
    private readonly PosixSignalRegistration _terminate;
    private CancellationTokenSource? _part;
    private bool _terminated;

    public Interrupt()
    {
        _ctrlC = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnCtrlC);
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnTerminate);
    }

    /// <summary>Cancelled when the process is asked to end.</summary>
    public CancellationToken Token => _whole.Token;

    /// <summary>The exit code of a verb that runs until stopped: SIGTERM is the usual way to stop it, Ctrl-C interrupts it.</summary>
    public int ExitCodeOfServer => Token.IsCancellationRequested && !_terminated ? ExitCode.Interrupted : ExitCode.Done;

    /// <summary>Leaves Ctrl-C to another process of the same terminal: the one that started this one and will end it.</summary>
    public bool IgnoresCtrlC { get; set; }

    /// <summary>
    /// Runs a part that Ctrl-C stops without ending the process, e.g. one answer of a chat. Its token is cancelled with
    /// <see cref="Token"/> too.
    /// </summary>
    public async Task RunPartAsync(Func<CancellationToken, Task> part)
    {
        using var source = CancellationTokenSource.CreateLinkedTokenSource(Token);
        Volatile.Write(ref _part, source);
        try
        {
            await part(source.Token);
        }
        finally
        {
            Volatile.Write(ref _part, null);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ctrlC.Dispose();
        _terminate.Dispose();
        _whole.Dispose();
    }

    private void OnCtrlC(PosixSignalContext context)
    {
        context.Cancel = true;
        if (IgnoresCtrlC)
            return;
        Cancel(Volatile.Read(ref _part) ?? _whole);
    }

    private void OnTerminate(PosixSignalContext context)
    {
        context.Cancel = true;
        _terminated = true;
        Cancel(_whole);
    }

    // What was asked to end before and has not is ended at once.
    private static void Cancel(CancellationTokenSource source)
    {
        if (source.IsCancellationRequested)
            Environment.Exit(ExitCode.Interrupted);
        try
        {
            source.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // Signals come on a thread of their own: what they were to end has just ended.
        }
    }
}
