using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Distributed.Cli.Tests;

/// <summary>A real PostgreSQL server with an empty database, on a port of its own on loopback.</summary>
internal sealed class PostgresServer : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly DirectoryInfo _folder;
    private readonly Process _process;

    private PostgresServer(DirectoryInfo folder, Process process, int port)
    {
        (_folder, _process) = (folder, process);
        Connection = $"Host=127.0.0.1;Port={port};Username=distributed;Database=postgres";
    }

    /// <summary>The folder of the server's programs: Debian keeps them off the path, by version. Null where there are none.</summary>
    public static string? Programs { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
        .Concat(Directory.Exists("/usr/lib/postgresql") ? Directory.GetDirectories("/usr/lib/postgresql").Select(version => $"{version}/bin") : [])
        .FirstOrDefault(folder => File.Exists(Path.Combine(folder, "initdb")) && File.Exists(Path.Combine(folder, "postgres")));

    /// <summary>How it is reached.</summary>
    public string Connection { get; }

    /// <summary>Starts it and waits until it can be reached.</summary>
    public static async Task<PostgresServer> StartAsync()
    {
        var folder = Directory.CreateTempSubdirectory("distributed-postgres-");
        if (!OperatingSystem.IsWindows() && Environment.IsPrivilegedProcess)
            folder.UnixFileMode |= UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;
        var data = Path.Combine(folder.FullName, "data");
        using (var init = Start("initdb", "-D", data, "-A", "trust", "-U", "distributed", "-E", "UTF8", "--no-sync"))
        {
            var said = Task.WhenAll(init.StandardOutput.ReadToEndAsync(), init.StandardError.ReadToEndAsync());
            await init.WaitForExitAsync().WaitAsync(Patience);
            Assert.True(init.ExitCode == 0, string.Concat(await said));
        }

        var port = FreePort();
        var process = Start("postgres", "-D", data, "-p", $"{port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off");
        var ready = new TaskCompletionSource();
        process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data is null)
                ready.TrySetException(new InvalidOperationException("postgres has ended"));
            else if (line.Data.Contains("ready to accept connections", StringComparison.Ordinal))
                ready.TrySetResult();
        };
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
        var server = new PostgresServer(folder, process, port);
        await ready.Task.WaitAsync(Patience);
        return server;
    }

    public async ValueTask DisposeAsync()
    {
        // Its own processes end with the first one.
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        for (var attempt = 0; attempt < 50 && _folder.Exists; attempt++)
        {
            try
            {
                _folder.Delete(recursive: true);
                return;
            }
            catch (IOException)
            {
                await Task.Delay(100);
            }
        }
    }

    // It does not run as root.
    private static Process Start(string program, params string[] args)
    {
        string[] command = Environment.IsPrivilegedProcess ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
        command = [.. command, Path.Combine(Programs!, program), .. args];
        return Process.Start(new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = "/",
        })!;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
