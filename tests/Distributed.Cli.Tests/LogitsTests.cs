using System.Runtime.InteropServices;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

public sealed class LogitsTests : IDisposable
{
    private const string Ids = "1,357,12,700,3,44,5,1204,0,19";
    private readonly TempFolder _folder = new();

    [Fact]
    public async Task File_is_the_same_in_process_and_with_any_number_of_workers_in_one_batch_or_step_by_step()
    {
        var reference = await WriteAsync();

        Assert.Equal(10 * 1205 * sizeof(float), reference.Length);
        Assert.All(Floats(reference), value => Assert.True(float.IsFinite(value)));
        foreach (var args in (string[][])[["--step"], ["-t", "1"], ["--workers", "1", "--step"], ["--workers", "3"]])
        {
            var logits = await WriteAsync(args);
            Assert.True(reference.SequenceEqual(logits), string.Join(' ', args));
        }
    }

    [Fact]
    public async Task Device_is_written_to_and_stays_what_it_is()
    {
        var result = await Cli.RunAsync("logits", "--ids", "1", "--out", "/dev/stderr");

        Assert.Equal(0, result.ExitCode);
        Assert.NotEmpty(result.Error);
        Assert.Empty(Directory.GetFiles("/dev", "stderr.*.partial"));
        Assert.NotNull(new FileInfo("/dev/stderr").LinkTarget);
    }

    [Fact]
    public async Task Kv_type_changes_the_figures_a_little()
    {
        var half = Floats(await WriteAsync());
        var single = Floats(await WriteAsync("--kv-type", "f32"));

        Assert.NotEqual(half, single);
        Assert.All(half.Zip(single), pair => Assert.Equal(pair.First, pair.Second, 0.5f));
    }

    [Fact]
    public async Task Unknown_ids_and_too_many_are_refused_before_the_file_is_touched()
    {
        var path = _folder.Path("untouched");

        var result = await Cli.RunAsync("logits", "--ids", "1,1205,9999", "--context", "2", "--out", path);

        Assert.Equal(2, result.ExitCode);
        Assert.Equal(
            [
                "error: --ids[1] is 1205: must be a token id from 0 to 1204",
                "error: --ids[2] is 9999: must be a token id from 0 to 1204",
                "error: --ids is 3 tokens: must be at most the context of 2 tokens",
            ],
            result.Errors);
        Assert.False(File.Exists(path));
    }

    [Theory]
    [InlineData("--memory is cpu=1GiB: needs --workers: it is what stages may take in each", "--memory", "cpu=1GiB")]
    [InlineData("--wire is f16: needs --workers: without them nothing is sent", "--wire", "f16")]
    [InlineData("--link is delay=1ms: needs --workers: without them nothing is sent", "--link", "delay=1ms")]
    public async Task Flags_of_workers_are_refused_without_any(string error, params string[] args)
    {
        var result = await Cli.RunAsync(["logits", "--ids", "1", "--out", _folder.Path("none"), .. args]);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal([$"error: {error}"], result.Errors);
        Assert.False(File.Exists(_folder.Path("none")));
    }

    [Fact]
    public async Task File_that_cannot_be_written_is_refused()
    {
        var result = await Cli.RunAsync("logits", "--ids", "1", "--out", _folder.Path("no/such/folder"));

        Assert.Equal(2, result.ExitCode);
        Assert.StartsWith("error: --out is ", Assert.Single(result.Errors));
    }

    public void Dispose() => _folder.Dispose();

    private static float[] Floats(byte[] bytes) => MemoryMarshal.Cast<byte, float>(bytes).ToArray();

    private async Task<byte[]> WriteAsync(params string[] args)
    {
        var path = _folder.Path("logits");
        var result = await Cli.RunAsync(["logits", "--ids", Ids, "--out", path, .. args]);

        Assert.Equal((0, "", ""), (result.ExitCode, result.Out, result.Error));
        return await File.ReadAllBytesAsync(path);
    }
}
