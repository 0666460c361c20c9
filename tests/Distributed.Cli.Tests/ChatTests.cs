namespace Distributed.Cli.Tests;

public class ChatTests
{
    private static readonly Dictionary<string, string> NoColor = new() { ["NO_COLOR"] = "1" };

    [TerminalFact]
    public async Task Chat_keeps_the_conversation_and_its_cache_until_bye()
    {
        await using var pty = Pty.Start(NoColor, "run", "--temperature", "0", "--workers", "1");
        await pty.SeeAsync(">>> ");
        await pty.TypeAsync("Hello!\n");
        await pty.SeeAsync("Hello! Shall I tell you a story?");
        await pty.SeeAsync("prompt 10 tokens, ");
        await pty.SeeAsync(">>> ");
        await pty.TypeAsync("Who are you?\n");
        await pty.SeeAsync(" of them cached), ");
        await pty.SeeAsync(">>> ");
        await pty.TypeAsync("/clear\n");
        await pty.SeeAsync(">>> ");
        await pty.TypeAsync("Hello!\n");
        await pty.SeeAsync("prompt 10 tokens");
        await pty.SeeAsync(">>> ");
        await pty.TypeAsync("/bye\n");

        Assert.Equal(0, await pty.EndAsync());
        Assert.DoesNotMatch(@"\e\[[0-9;]*m", pty.Screen);
        Assert.DoesNotContain("loading", pty.Screen);
    }

    [TerminalFact]
    public async Task Ctrl_D_ends_the_chat()
    {
        await using var pty = Pty.Start(NoColor, "run", "--workers", "1");
        await pty.SeeAsync(">>> ");
        await pty.TypeAsync("\u0004");

        Assert.Equal(0, await pty.EndAsync());
    }

    [TerminalFact]
    public async Task Ctrl_C_stops_an_answer_and_the_chat_goes_on_with_the_same_workers()
    {
        // Any token may follow any other: the answer goes on until the context is full.
        await using var pty = Pty.Start(
            NoColor, "run", "--raw", "--temperature", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "7", "--workers", "2");
        await pty.SeeAsync(">>> ");
        for (var i = 0; i < 2; i++)
        {
            await pty.TypeAsync("Once upon a time\n");
            await pty.SeeAsync("time\r\n");
            await Task.Delay(300);
            await pty.TypeAsync("\u0003");
            await pty.SeeAsync(">>> ");
        }

        Assert.DoesNotContain("error", pty.Screen);
        Assert.DoesNotContain("tok/s", pty.Screen);
        await pty.TypeAsync("\u0003");

        Assert.Equal(130, await pty.EndAsync());
    }

    [TerminalFact]
    public async Task Loading_is_shown_in_bars_on_a_terminal()
    {
        await using var pty = Pty.Start(new Dictionary<string, string>(), "run", "--temperature", "0", "--workers", "2", "Hello!");

        Assert.Equal(0, await pty.EndAsync());
        Assert.Contains("loading stage 1", pty.Screen);
        Assert.Matches(@"\e\[[0-9;]*m", pty.Screen);
        Assert.Contains("Hello! Shall I tell you a story?", pty.Screen);
    }
}
