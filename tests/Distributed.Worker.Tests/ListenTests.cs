namespace Distributed.Worker.Tests;

public sealed class ListenTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("distributed-test-").FullName;

    [Theory]
    [InlineData("")]
    [InlineData("precious")]
    public async Task File_in_the_place_of_the_socket_is_left_alone(string content)
    {
        var path = Path.Combine(_folder, "model.gguf");
        await File.WriteAllTextAsync(path, content);

        var error = await Assert.ThrowsAsync<InvalidInputException>(() => ListenAsync(path));

        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Equal(content, await File.ReadAllTextAsync(path));
    }

    [Fact]
    public async Task Socket_of_another_worker_is_left_alone()
    {
        await using var other = await RunningWorker.StartAsync();

        await Assert.ThrowsAsync<IOException>(() => ListenAsync(other.Address.SocketPath!));

        await other.Client.ReadClockAsync(new Cluster.Protocol.ClockRequest());
    }

    [Fact]
    public async Task Address_that_is_taken_is_found_out_before_anything_is_measured()
    {
        await using var other = await RunningWorker.StartAsync();
        var options = new WorkerOptions { Listen = other.Address, Threads = 1, Data = _folder, ProfilesAtStart = true };

        await Assert.ThrowsAsync<IOException>(() => WorkerHost.RunAsync(options, _ => { }, CancellationToken.None));

        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static Task ListenAsync(string path) => WorkerHost.RunAsync(
        new WorkerOptions { Listen = NodeAddress.Parse("listen", $"unix:{path}"), Threads = 1 },
        _ => throw new InvalidOperationException("it listens"),
        CancellationToken.None);
}
