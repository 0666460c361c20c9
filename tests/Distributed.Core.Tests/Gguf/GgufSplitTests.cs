using Distributed.Core.Gguf;
using Distributed.Core.Quantization;
using Distributed.Testing;

namespace Distributed.Core.Tests.Gguf;

public sealed class GgufSplitTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Any_shard_opens_the_set(int opened)
    {
        WriteSet();

        using var file = GgufFile.Open(Shard(opened));

        Assert.Equal(["tensor.0", "tensor.1", "tensor.2"], file.Tensors.Keys);
        Assert.Equal([Shard(0), Shard(1), Shard(2)], file.Paths);
        Assert.Equal("the whole", file.Metadata.GetString("general.name"));
        Assert.Equal(file.Paths.Sum(path => new FileInfo(path).Length), file.Bytes);
        for (var i = 0; i < 3; i++)
            Assert.Equal((byte)i, file.Tensors[$"tensor.{i}"].Row(0)[0]);
    }

    [Fact]
    public void Missing_shards_are_named()
    {
        WriteSet();
        File.Delete(Shard(0));
        File.Delete(Shard(2));

        var errors = Refused(Shard(1));

        Assert.Equal([("model", Shard(0)), ("model", Shard(2))], errors.Select(error => (error.Key, error.Value)));
        Assert.All(errors, error => Assert.Equal("this shard of the set is missing", error.Rule));
    }

    [Fact]
    public void Most_of_many_missing_shards_are_counted()
    {
        var path = Write("big-00001-of-65535.gguf", 0, ushort.MaxValue, "tensor", 1);

        var errors = Refused(path);

        Assert.Equal(6, errors.Count);
        Assert.Equal("65534 of 65535 shards", errors[^1].Value);
    }

    [Fact]
    public void A_renamed_shard_is_refused_with_the_name_it_needs()
    {
        WriteSet();
        File.Move(Shard(1), _folder.Path("other.gguf"));

        var error = Assert.Single(Refused(_folder.Path("other.gguf")));

        Assert.Equal((_folder.Path("other.gguf"), "is shard 2 of 3: its name must end in -00002-of-00003.gguf"), (error.Value, error.Rule));
    }

    [Fact]
    public void Shards_in_each_others_place_are_refused()
    {
        WriteSet();
        File.Copy(Shard(1), Shard(2), overwrite: true);

        var error = Assert.Single(Refused(Shard(0)));

        Assert.Equal(("split.no, split.count", "(1, 3)", Shard(2)), (error.Key, error.Value, error.Source));
    }

    [Fact]
    public void A_tensor_in_two_shards_is_refused()
    {
        WriteSet();
        Write(Shard(2), 2, 3, "tensor.0");

        var error = Assert.Single(Refused(Shard(0)));

        Assert.Equal(("tensor.0", "must be in one shard only", Shard(2)), (error.Key, error.Rule, error.Source));
    }

    [Fact]
    public void A_wrong_number_of_tensors_is_refused()
    {
        WriteSet(tensors: 4);

        var error = Assert.Single(Refused(Shard(2)));

        Assert.Equal(("split.tensors.count", "4", "must be the number of tensors in all shards, 3"), (error.Key, error.Value, error.Rule));
    }

    [Fact]
    public void A_broken_shard_is_refused_by_its_own_path()
    {
        WriteSet();
        File.WriteAllBytes(Shard(1), "GGUF"u8.ToArray());

        Assert.Equal(Shard(1), Assert.Single(Refused(Shard(0))).Source);
    }

    [Fact]
    public void A_set_of_one_needs_no_special_name()
    {
        var path = Write("plain.gguf", 0, 1, "tensor.0", 1);

        using var file = GgufFile.Open(path);

        Assert.Equal([path], file.Paths);
    }

    private string Shard(int index) => _folder.Path($"model-0000{index + 1}-of-00003.gguf");

    private void WriteSet(int tensors = 3)
    {
        for (var i = 0; i < 3; i++)
            Write(Shard(i), i, 3, $"tensor.{i}", tensors);
    }

    private string Write(string name, int index, ushort count, string tensor, int tensors = 3)
    {
        var writer = new GgufWriter();
        if (index == 0)
            writer.Set("general.name", "the whole");
        writer.Set("split.no", (ushort)index);
        writer.Set("split.count", count);
        writer.Set("split.tensors.count", tensors);
        writer.Add(tensor, F32.Type, [2], stream => stream.Write([(byte)index, 0, 0, 0, 0, 0, 0, 0]));
        writer.Write(_folder.Path(name));
        return _folder.Path(name);
    }

    private static IReadOnlyList<InputError> Refused(string path) => Assert.Throws<InvalidInputException>(() => GgufFile.Open(path)).Errors;
}
