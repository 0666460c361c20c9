using System.Text;
using Microsoft.Win32.SafeHandles;
using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>
/// The process's three streams. stdout carries the result alone; everything said about it goes to stderr. Colour and live
/// progress only where a stream is a terminal and <c>NO_COLOR</c> is not set.
/// </summary>
internal sealed class Terminal : IDisposable
{
    // Wide enough that no table is ever wrapped where nobody reads it on a screen.
    private const int UnlimitedWidth = 1000;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    private readonly Lazy<IAnsiConsole> _outConsole;
    private readonly Lazy<IAnsiConsole> _errorConsole;

    public Terminal()
    {
        // Console's own writers follow the locale; a result must be the same bytes everywhere.
        In = new StreamReader(OpenInput(), Utf8);
        Out = new StreamWriter(Console.OpenStandardOutput(), Utf8) { AutoFlush = true, NewLine = "\n" };
        Error = TextWriter.Synchronized(new StreamWriter(Console.OpenStandardError(), Utf8) { AutoFlush = true, NewLine = "\n" });
        _outConsole = new(() => Open(Out, !Console.IsOutputRedirected));
        _errorConsole = new(() => Open(Error, !Console.IsErrorRedirected));
    }

    /// <summary>stdin, as UTF-8.</summary>
    public StreamReader In { get; }

    /// <summary>stdout: the result.</summary>
    public TextWriter Out { get; }

    /// <summary>stderr: whatever is said about the result. Safe to write to from any thread.</summary>
    public TextWriter Error { get; }

    /// <summary>stdout for tables.</summary>
    public IAnsiConsole OutConsole => _outConsole.Value;

    /// <summary>stderr for tables and progress bars.</summary>
    public IAnsiConsole ErrorConsole => _errorConsole.Value;

    /// <summary>Whether stderr can show a progress bar.</summary>
    public bool ShowsProgress => ErrorConsole.Profile.Capabilities.Interactive;

    /// <summary>Whether a person types into stdin.</summary>
    public bool IsInputInteractive { get; } = !Console.IsInputRedirected;

    /// <summary>Whether a person reads stdout.</summary>
    public bool IsOutputInteractive { get; } = !Console.IsOutputRedirected;

    /// <summary>Cancelled by the first Ctrl-C or SIGTERM.</summary>
    public Interrupt Interrupt { get; } = new();

    private static bool NoColor => !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));

    /// <inheritdoc/>
    public void Dispose()
    {
        Interrupt.Dispose();
        Out.Dispose();
        Error.Dispose();
    }

    // Outside Windows, Console's own stream edits lines itself and sends escape codes for that; a terminal does without.
    private static Stream OpenInput() => OperatingSystem.IsWindows()
        ? Console.OpenStandardInput()
        : new FileStream(new SafeFileHandle(0, ownsHandle: false), FileAccess.Read);

    private static IAnsiConsole Open(TextWriter writer, bool isTerminal)
    {
        var isLive = isTerminal && !NoColor && Environment.GetEnvironmentVariable("TERM") is not "dumb";
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = isLive ? AnsiSupport.Yes : AnsiSupport.No,
            ColorSystem = isLive ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = isLive ? InteractionSupport.Yes : InteractionSupport.No,
        });
        if (!isTerminal)
            console.Profile.Width = UnlimitedWidth;
        return console;
    }
}
