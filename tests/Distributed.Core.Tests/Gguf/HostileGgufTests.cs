using System.Diagnostics;
using Distributed.Core.Gguf;
using Distributed.Testing;
using V = Distributed.Core.Gguf.GgufValueType;

namespace Distributed.Core.Tests.Gguf;

/// <summary>Files that are broken on purpose: each is refused with the key, the value and the rule, fast and without memory.</summary>
public sealed class HostileGgufTests : IDisposable
{
    private const long MaxAllocatedBytes = 4 << 20;
    private static readonly TimeSpan MaxTime = TimeSpan.FromSeconds(1);

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Names => new(HostileGguf.All.Select(broken => broken.Name));

    [Theory]
    [MemberData(nameof(Names))]
    public void A_broken_file_is_refused(string name)
    {
        var broken = HostileGguf.All.Single(broken => broken.Name == name);
        var path = _folder.Write("broken.gguf", broken.Bytes.ToArray());

        var error = Assert.Single(Refused(path).Errors);

        Assert.Equal((broken.Key, path), (error.Key, error.Source));
        Assert.Contains(broken.Value, error.Value ?? "", StringComparison.Ordinal);
        Assert.Contains(broken.Rule, error.Rule, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_cut_off_anywhere_is_refused_with_its_length()
    {
        var writer = new GgufWriter();
        writer.Set("general.architecture", "llama");
        writer.Set("tokens", new[] { "one", "two", "three" });
        writer.Set("scores", new[] { 1f, 2f });
        writer.AddZeros("a", Core.Quantization.F32.Type, 4, 2);
        writer.AddZeros("b", Core.Quantization.Q8_0.Type, 32);
        var whole = writer.ToArray();
        using (GgufFile.Open(_folder.Write("whole.gguf", whole)))
        {
        }

        for (var length = 1; length < whole.Length; length++)
        {
            var path = _folder.Write("cut.gguf", whole[..length]);
            Assert.All(Refused(path).Errors, error => Assert.Equal($"must end inside the file, which has {length} bytes", error.Rule));
        }
    }

    [Fact]
    public void A_header_of_a_terabyte_is_refused_before_it_is_read()
    {
        var path = _folder.Write("sparse.gguf", GgufBytes.Header(0, 1).Array("x", V.String, 1UL << 36).ToArray());
        using (var stream = File.OpenWrite(path))
            stream.SetLength(1L << 40);

        var error = Assert.Single(Refused(path).Errors);

        Assert.Contains("must end within the first 67108864 bytes", error.Rule, StringComparison.Ordinal);
    }

    [Fact]
    public void All_tensors_of_a_type_not_read_are_one_error()
    {
        var bytes = GgufBytes.Header(4)
            .Tensor("a", [256], 15).Tensor("b", [256], 9).Tensor("c", [256], 15).Tensor("d", [0]).Data(9999);

        var errors = Refused(_folder.Write("types.gguf", bytes.ToArray())).Errors;

        Assert.Equal(["a", "b", "d"], errors.Select(error => error.Key));
    }

    [Fact]
    public void Tens_of_thousands_of_broken_tensors_are_twenty_errors()
    {
        var bytes = GgufBytes.Header(60_000);
        for (var i = 0; i < 60_000; i++)
            bytes.Tensor("w", [1]);

        Assert.Equal(20, Refused(_folder.Write("many.gguf", bytes.Data(64).ToArray()), maxAllocated: 64 << 20).Errors.Count);
    }

    [Fact]
    public void What_is_no_file_is_refused_by_its_path()
    {
        var missing = Assert.Single(Refused(_folder.Path("nothing.gguf")).Errors);
        var folder = Assert.Single(Refused(_folder.Root).Errors);
        var empty = Assert.Single(Refused(_folder.Write("empty.gguf", [])).Errors);

        Assert.Equal(("model", _folder.Path("nothing.gguf"), "there is no such file"), (missing.Key, missing.Value, missing.Rule));
        Assert.Equal(("model", _folder.Root, "must be a file, not a folder"), (folder.Key, folder.Value, folder.Rule));
        Assert.Equal(("model", _folder.Path("empty.gguf"), "must be a plain file that is not empty"), (empty.Key, empty.Value, empty.Rule));
    }

    [Theory]
    [InlineData("fifo")]
    [InlineData("link.gguf")]
    [InlineData("link-to-link.gguf")]
    [InlineData("device.gguf")]
    public async Task What_is_no_plain_file_is_refused_at_once_through_links_too(string name)
    {
        using (var mkfifo = Process.Start("mkfifo", _folder.Path("fifo")))
            await mkfifo.WaitForExitAsync();
        File.CreateSymbolicLink(_folder.Path("link.gguf"), "fifo");
        File.CreateSymbolicLink(_folder.Path("link-to-link.gguf"), _folder.Path("link.gguf"));
        File.CreateSymbolicLink(_folder.Path("device.gguf"), "/dev/zero");

        // Opening a pipe waits for a writer; the thread is left behind then.
        var refused = await Task.Run(() => Refused(_folder.Path(name))).WaitAsync(TimeSpan.FromSeconds(20));

        Assert.Equal("must be a plain file that is not empty", Assert.Single(refused.Errors).Rule);
    }

    [Fact]
    public void A_link_to_a_model_is_opened()
    {
        _folder.Write("model.gguf", TinyModel.Create().ToArray());
        File.CreateSymbolicLink(_folder.Path("link.gguf"), "model.gguf");
        Directory.CreateDirectory(_folder.Path("a/b"));
        File.CreateSymbolicLink(_folder.Path("a/b/deep.gguf"), "../../model.gguf");
        Directory.CreateSymbolicLink(_folder.Path("shortcut"), "a/b");

        foreach (var path in (string[])["link.gguf", "a/b/deep.gguf", "shortcut/deep.gguf"])
            GgufFile.Open(_folder.Path(path)).Dispose();
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\0b")]
    public void What_is_no_path_is_refused(string path) => Assert.Equal("model", Assert.Single(Refused(path).Errors).Key);

    // The fastest of three counts, since other tests share the processors.
    private static InvalidInputException Refused(string path, long maxAllocated = MaxAllocatedBytes)
    {
        for (var attempt = 1; ; attempt++)
        {
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            var watch = Stopwatch.StartNew();
            var exception = Assert.Throws<InvalidInputException>(() => GgufFile.Open(path).Dispose());
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, maxAllocated);
            if (watch.Elapsed < MaxTime)
                return exception;
            Assert.True(attempt < 3, $"took {watch.Elapsed}");
        }
    }
}
