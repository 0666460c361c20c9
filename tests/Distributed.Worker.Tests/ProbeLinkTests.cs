namespace Distributed.Worker.Tests;

public class ProbeLinkTests
{
    [Fact]
    public async Task A_link_is_timed_beside_a_plain_socket()
    {
        await using var worker = await RunningWorker.StartAsync();

        var reply = await worker.Client.ProbeLinkAsync(Request(worker));

        Assert.Null(reply.Failure);
        Assert.Equal((6, 3, 6, 3), (reply.StepNs.Count, reply.ChunkNs.Count, reply.RawStepNs.Count, reply.RawChunkNs.Count));
        Assert.All([.. reply.StepNs, .. reply.ChunkNs, .. reply.RawStepNs, .. reply.RawChunkNs], time => Assert.True(time > 0));
    }

    [Fact]
    public async Task A_delay_is_there_both_ways_and_once_for_a_whole_chunk()
    {
        await using var worker = await RunningWorker.StartAsync();

        var reply = await worker.Client.ProbeLinkAsync(Request(worker, "delay=30ms", chunkBytes: 8 << 20));

        Assert.All(reply.StepNs, time => Assert.True(time >= 60e6, $"{time} ns"));
        // Were the delay there for each write, the chunk's 512 and more would take 15 s.
        Assert.All(reply.ChunkNs, time => Assert.InRange(time, 60e6, 8e9));
        Assert.Empty(reply.RawStepNs);
    }

    [Fact]
    public async Task A_rate_lets_no_more_bits_through()
    {
        await using var worker = await RunningWorker.StartAsync();

        var fast = await worker.Client.ProbeLinkAsync(Request(worker, "rate=80Mbit", chunkBytes: 1_000_000));
        var slow = await worker.Client.ProbeLinkAsync(Request(worker, "rate=40Mbit", chunkBytes: 1_000_000));

        Assert.All(fast.ChunkNs, time => Assert.InRange(time, 100e6, 3e9));
        Assert.All(slow.ChunkNs, time => Assert.InRange(time, 200e6, 6e9));
    }

    [Fact]
    public async Task What_cannot_be_timed_is_told_with_the_reason()
    {
        await using var worker = await RunningWorker.StartAsync();
        var gone = Request(worker);
        gone.Address = "unix:/nowhere/at-all";
        var endless = Request(worker);
        endless.Steps = int.MaxValue;
        var wrong = Request(worker, "slow");

        Assert.Equal(FailureCode.NextUnreachable, (await worker.Client.ProbeLinkAsync(gone)).Failure.Code);
        Assert.Contains("2147483647", (await worker.Client.ProbeLinkAsync(endless)).Failure.Message, StringComparison.Ordinal);
        Assert.Contains("link is slow", (await worker.Client.ProbeLinkAsync(wrong)).Failure.Message, StringComparison.Ordinal);
    }

    private static ProbeLinkRequest Request(RunningWorker worker, string link = "", int chunkBytes = 100_000) => new()
    {
        Address = worker.Address.ToString(),
        Link = link,
        StepBytes = 1024,
        Steps = 6,
        ChunkBytes = chunkBytes,
        Chunks = 3,
        WantRaw = true,
    };
}
