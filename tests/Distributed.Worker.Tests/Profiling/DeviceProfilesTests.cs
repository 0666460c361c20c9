using Distributed.Testing;
using Distributed.Worker.Profiling;

namespace Distributed.Worker.Tests.Profiling;

public sealed class DeviceProfilesTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task What_was_measured_once_is_read_the_next_time_and_measured_anew_where_the_file_is_broken()
    {
        var first = await GetAsync(1, Q4_0.Type);
        var second = await GetAsync(1, Q4_0.Type);
        var more = await GetAsync(1, Q4_0.Type, Q4_K.Type);
        var file = Assert.Single(Directory.GetFiles(_folder.Path("profiles"), "*.json"));
        await File.WriteAllTextAsync(file, (await File.ReadAllTextAsync(file)).Replace("\"secondsPerByte\": ", "\"secondsPerByte\": -", StringComparison.Ordinal));
        var senseless = Find(1);
        await File.WriteAllTextAsync(file, "{ \"device\": ");
        var broken = await GetAsync(1);

        Assert.Equal(first, second);
        Assert.Equal(first.MeasuredUnixMs, more.MeasuredUnixMs);
        Assert.Equal(["F32", "Q8_0", "Q4_0"], first.Types_.Select(type => type.Type));
        Assert.Equal(["F32", "Q8_0", "Q4_0", "Q4_K"], more.Types_.Select(type => type.Type));
        Assert.NotEqual(first.MeasuredUnixMs, broken.MeasuredUnixMs);
        Assert.Null(senseless);
        Assert.Equal(first.Key, broken.Key);
        Assert.Equal(broken, Find(1));
    }

    [Fact]
    public async Task Figures_are_sound_and_hold_for_one_number_of_threads()
    {
        var one = await GetAsync(1, Q8_0.Type);
        var two = await GetAsync(2, Q8_0.Type);

        Assert.NotEqual(one.Key, two.Key);
        Assert.Equal((1, 2), (one.Threads, two.Threads));
        Assert.True(one.ReadBytesPerSecond > 1e8, $"{one.ReadBytesPerSecond}");
        foreach (var type in one.Types_)
        {
            Assert.All(type.ByTokens.Concat(type.ByBytes), time => Assert.True(time.SecondsPerByte > 0));
            Assert.Equal(type.ByTokens.Select(time => time.Tokens).Order(), type.ByTokens.Select(time => time.Tokens));
            // More tokens are never multiplied for nothing.
            Assert.True(ProductTimes.OfTokens(type, 256) > ProductTimes.OfTokens(type, 1));
        }

        Assert.All(one.Layer.ByTokens, time => Assert.True(time.SecondsPerValue > 0 && time.SecondsPerLayer >= 0 && time.SecondsPerStep >= 0));
        Assert.True(one.Attention[0].DecodePerValue > 0 && one.Attention[0].PrefillPerValue > 0);
    }

    [Fact]
    public async Task A_worker_tells_its_profile()
    {
        await using var worker = await RunningWorker.StartAsync(Options(1));
        var profile = await worker.Client.ProfileAsync(new ProfileRequest { Types_ = { "Q8_0" }, KvTypes = { "f16" } });
        Assert.Equal("cpu", Assert.Single(profile.Devices).Device);
    }

    [Fact]
    public async Task Formats_a_worker_does_not_know_are_refused()
    {
        await using var worker = await RunningWorker.StartAsync(Options(1));
        var error = await Assert.ThrowsAsync<Grpc.Core.RpcException>(
            async () => await worker.Client.ProfileAsync(new ProfileRequest { Types_ = { "Q9_9" } }));
        var failure = StageFailureException.From(error, FailureCode.HopLost, "w").Failure;
        Assert.Equal(FailureCode.BadFrame, failure.Code);
        Assert.Contains("types is Q9_9: must be one of F32, ", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Measuring_anew_keeps_formats_that_were_not_asked_for_and_the_lock_of_other_workers()
    {
        var first = await GetAsync(1, Q4_0.Type);
        var folder = _folder.Path("profiles");
        for (var i = 0; i < 40; i++)
            await File.WriteAllTextAsync(Path.Combine(folder, $"old{i}.json"), "{}");
        using var profiles = new DeviceProfiles(_folder.Path(""), "w");
        var device = Assert.Single(new DeviceInventory(Options(1)).All);

        var again = await profiles.GetAsync(device, [], [], again: true, default);

        Assert.NotEqual(first.MeasuredUnixMs, again.MeasuredUnixMs);
        Assert.Equal(["F32", "Q8_0", "Q4_0"], again.Types_.Select(type => type.Type));
        Assert.Equal(32, Directory.GetFiles(folder, "*.json").Length);
        Assert.True(File.Exists(Path.Combine(folder, "measuring.lock")));
    }

    [Fact]
    public async Task Worker_measures_within_its_memory_limit_or_says_what_it_would_take()
    {
        using var profiles = new DeviceProfiles(_folder.Path(""), "w");
        var (small, less, little) = (DeviceWith(40), DeviceWith(41), DeviceWith(20));

        var profile = await profiles.GetAsync(small, [], [], again: false, default);
        var error = await Assert.ThrowsAsync<StageFailureException>(() => profiles.GetAsync(little, [], [], again: false, default));
        using var stage = small.Reserve(30 << 20, "w", 0);
        var full = await Assert.ThrowsAsync<StageFailureException>(() => profiles.GetAsync(small, [Q4_0.Type], [], again: false, default));

        // All is given back, and a limit that is hardly another one is measured alike.
        Assert.Equal(30 << 20, small.Describe().MemoryUsed);
        Assert.Equal(profile, profiles.Find(less));
        Assert.Null(profiles.Find(Assert.Single(new DeviceInventory(Options(1)).All)));
        Assert.All(profile.Types_.SelectMany(type => type.ByTokens), time => Assert.InRange(time.Bytes, 1, 16 << 20));
        Assert.Equal(FailureCode.OutOfMemory, error.Failure.Code);
        Assert.Contains("takes 32 MiB on cpu, of which 20 MiB of 20 MiB are free", error.Message, StringComparison.Ordinal);
        Assert.Contains("takes 40 MiB on cpu, of which 10 MiB of 40 MiB are free", full.Message, StringComparison.Ordinal);

        Device DeviceWith(long mebibytes) => Assert.Single(new DeviceInventory(
            Options(1) with { Memory = new Dictionary<string, long> { ["cpu"] = mebibytes << 20 } }).All);
    }

    public void Dispose() => _folder.Dispose();

    private WorkerOptions Options(int threads) => new() { Name = "w", Threads = threads, Data = _folder.Path("") };

    private DeviceProfile? Find(int threads)
    {
        using var profiles = new DeviceProfiles(_folder.Path(""), "w");
        return profiles.Find(Assert.Single(new DeviceInventory(Options(threads)).All));
    }

    private async Task<DeviceProfile> GetAsync(int threads, params QuantType[] types)
    {
        using var profiles = new DeviceProfiles(_folder.Path(""), "w");
        var device = Assert.Single(new DeviceInventory(Options(threads)).All);
        return (await profiles.GetAsync(device, types, [KvType.F16], again: false, default)).Clone();
    }
}
