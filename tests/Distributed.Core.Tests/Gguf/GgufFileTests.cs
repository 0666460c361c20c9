using Distributed.Core.Gguf;
using Distributed.Core.Quantization;
using Distributed.Testing;

namespace Distributed.Core.Tests.Gguf;

public sealed class GgufFileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(2u)]
    [InlineData(3u)]
    public void Both_versions_are_read(uint version)
    {
        var bytes = GgufBytes.Header(1, 1, version).Key("general.architecture", GgufValueType.String).Text("llama")
            .Tensor("weight", [2, 3]).Data(24).ToArray();
        bytes[^1] = 0x40; // the last float is 2

        using var file = GgufFile.Open(_folder.Write("model.gguf", bytes));

        Assert.Equal((int)version, file.Version);
        Assert.Equal("llama", file.Metadata.Architecture);
        Assert.Equal(bytes.Length, file.Bytes);
        var tensor = file.Tensors["weight"];
        Assert.Equal((2L, 3L, 24L, F32.Type), (tensor.Columns, tensor.Rows, tensor.Bytes, tensor.Type));
        var row = new float[2];
        tensor.DequantizeRow(2, row);
        Assert.Equal([0f, 2f], row);
    }

    [Theory]
    [InlineData(8u)]
    [InlineData(32u)]
    [InlineData(4096u)]
    public void Tensors_come_back_at_any_alignment(uint alignment)
    {
        var random = new Random(1);
        var writer = new GgufWriter();
        writer.Set("general.alignment", alignment);
        var contents = new Dictionary<string, byte[]>();
        foreach (var type in QuantTypes.All)
        {
            var content = contents[type.Name] = new byte[type.RowBytes(256) * 3];
            random.NextBytes(content);
            writer.Add(type.Name, type, [256, 3], stream => stream.Write(content));
        }

        writer.Write(_folder.Path("model.gguf"));
        using var file = GgufFile.Open(_folder.Path("model.gguf"));

        Assert.Equal(contents.Keys, file.Tensors.Keys);
        foreach (var tensor in file.Tensors.Values)
        {
            Assert.Equal(contents[tensor.Name].AsSpan((int)tensor.Bytes / 3, (int)tensor.Bytes / 3), tensor.Row(1));
            Assert.True(IsAligned(tensor, alignment));
        }
    }

    [Fact]
    public void A_tensor_behind_four_gigabytes_is_read()
    {
        const long Offset = 5L << 30;
        var path = _folder.Write("sparse.gguf", GgufBytes.Header(1).Tensor("far", [1], offset: Offset).Data(0).ToArray());
        using (var stream = File.OpenWrite(path))
        {
            var start = stream.Length;
            stream.Position = start + Offset;
            stream.Write([0, 0, 0x80, 0x3f]);
        }

        using var file = GgufFile.Open(path);

        var value = new float[1];
        file.Tensors["far"].DequantizeRow(0, value);
        Assert.Equal(1f, value[0]);
    }

    [Fact]
    public void A_copied_model_is_the_same_byte_for_byte()
    {
        using var sample = GgufFile.Open(Repository.SampleModel);
        var writer = new GgufWriter();
        writer.SetAll(sample.Metadata);
        foreach (var tensor in sample.Tensors.Values)
            writer.Add(tensor);

        writer.Write(_folder.Path("copy.gguf"));

        Assert.Equal(File.ReadAllBytes(Repository.SampleModel), File.ReadAllBytes(_folder.Path("copy.gguf")));
        Assert.Equal(["copy.gguf"], Directory.GetFiles(_folder.Root).Select(Path.GetFileName));
    }

    [Fact]
    public void A_tensor_written_short_is_no_file()
    {
        var writer = new GgufWriter();
        writer.Add("short", F32.Type, [4], stream => stream.Write(new byte[15]));

        Assert.Throws<InvalidOperationException>(() => writer.Write(_folder.Path("short.gguf")));
        Assert.Empty(Directory.GetFiles(_folder.Root));
    }

    [Fact]
    public void A_vocabulary_without_weights_is_a_file_but_no_model()
    {
        using (var file = GgufFile.Open(WriteVocabulary()))
            Assert.Empty(file.Tensors);

        var errors = Assert.Throws<InvalidInputException>(() => ModelFile.Open(WriteVocabulary())).Errors;
        Assert.Contains(errors, error => error.Key == "token_embd.weight" && error.Rule.StartsWith("is missing", StringComparison.Ordinal));
    }

    private string WriteVocabulary()
    {
        using var model = GgufFile.Open(Repository.SampleModel);
        var writer = new GgufWriter();
        writer.SetAll(model.Metadata);
        writer.Write(_folder.Path("vocabulary.gguf"));
        return _folder.Path("vocabulary.gguf");
    }

    private static unsafe bool IsAligned(Tensor tensor, uint alignment) => (nint)tensor.Data % alignment == 0;
}
