using System.Text;
using CsCheck;
using Distributed.Testing;

namespace Distributed.Core.Tests.HuggingFace;

/// <summary>Weights that are broken on purpose: each file is refused with what is wrong, or read to the last byte.</summary>
public sealed class HostileSafetensorsTests : IDisposable
{
    private const string Needed = "model.norm.weight";

    private readonly TempFolder _folder = new();

    public HostileSafetensorsTests() => HuggingFaceWriter.Write(Golden.Path("architectures/qwen2.gguf"), _folder.Root, "qwen2");

    private string Weights => _folder.Path("model.safetensors");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}""", "a", "bytes 0 to 9", "must lie inside the file, which has 8")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", "a", "bytes 8 to 0", "must lie inside the file")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775807]}}""", "a", "bytes 0 to", "must lie inside the file")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}""", "a", "malformed", "a number is negative")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1e30]}}""", "a", "malformed", "must be JSON of dtype, shape and data_offsets")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", "a", "8 bytes", "must have as many as F32 [3] takes, 12")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}""", "a", "8 bytes", "must have as many as")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}""", "a", "8 bytes", "must have as many as")]
    [InlineData("""{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,8]}}""", "a", "Q4", "must be one of BOOL")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}""", "b", "at offset", "must lie behind the bytes of a")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "a", "there twice", "must be there once")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1]}}""", "a", "malformed", "one of them is missing")]
    [InlineData("""{"a":3}""", "a", "malformed", "a tensor must be an object")]
    [InlineData("""{"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}}""", "a", "malformed", "must be JSON of")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}""", "a", "malformed", "more than 8 integers")]
    [InlineData("""{"a""", "header", "malformed", "must be JSON of")]
    [InlineData("""{} x""", "header", "malformed", "must be JSON of")]
    public void A_broken_header_is_refused(string header, string key, string value, string rule)
    {
        File.WriteAllBytes(Weights, SafetensorsWriter.ToBytes(header, new byte[8]));
        var error = Assert.Single(Refused());
        Assert.Equal((key, Weights), (error.Key, error.Source));
        Assert.Contains(value, error.Value ?? "", StringComparison.Ordinal);
        Assert.Contains(rule, error.Rule, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(1UL)]
    [InlineData(1UL << 40)]
    [InlineData(ulong.MaxValue)]
    public void A_header_longer_than_the_file_is_refused_before_it_is_read(ulong length)
    {
        File.WriteAllBytes(Weights, [.. BitConverter.GetBytes(length), (byte)'{', (byte)'}', .. new byte[64]]);
        var before = GC.GetAllocatedBytesForCurrentThread();
        var error = Assert.Single(Refused());
        Assert.Equal(("header", $"{length} bytes"), (error.Key, error.Value));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 << 20);
    }

    [Fact]
    public void A_file_cut_off_anywhere_is_refused()
    {
        var whole = File.ReadAllBytes(Weights);
        foreach (var length in new[] { 1, 7, 8, 9, 100, 4000, whole.Length / 2, whole.Length - 1 })
        {
            File.WriteAllBytes(Weights, whole[..length]);
            Assert.NotEmpty(Refused());
        }
    }

    [Fact]
    public void A_changed_header_is_refused_or_read_to_the_last_byte()
    {
        var file = File.ReadAllBytes(Weights);
        var end = 8 + (int)BitConverter.ToInt64(file);
        var json = Encoding.UTF8.GetString(file[8..end]);
        // A third of the header is a text in which hardly any change does harm; elsewhere nearly every one does.
        var whole = SafetensorsWriter.ToBytes(json.Replace("\"pt\"", $"\"{new string('x', json.Length / 2)}\"", StringComparison.Ordinal), file[end..]);
        var header = (int)BitConverter.ToInt64(whole);
        var (opened, refused) = (0, 0);
        Gen.Select(Gen.Int[0, header + 7], Gen.Char["0123456789{}[],:\"-eE \\.FB6"], Gen.Int[0, header + 7], Gen.Byte).Sample((at, with, flipped, by) =>
        {
            var bytes = whole.ToArray();
            bytes[at] = (byte)with;
            if (by < 64)
                bytes[flipped] ^= by;
            File.WriteAllBytes(Weights, bytes);
            try
            {
                using var model = ModelFile.Open(_folder.Root);
                foreach (var tensor in model.Tensors.Values)
                    for (var row = 0L; row < tensor.Rows; row++)
                        tensor.DequantizeRow(row, new float[tensor.Columns]);
                opened++;
            }
            catch (InvalidInputException)
            {
                refused++;
            }
        }, iter: 1000, threads: 1);
        Assert.True(opened > 100 && refused > 100, $"{opened} opened, {refused} were refused: the test says little");
    }

    [Fact]
    public void Missing_superfluous_and_misshapen_tensors_are_named_as_the_files_have_them()
    {
        SafetensorsWriter.WriteFolder(_folder.Root,
        [
            new(Needed, "F32", [63], new byte[63 * 4]),
            new("lm_head.weight", "I8", [320, 64], new byte[320 * 64]),
            new("model.layers.9.mlp.up_proj.weight", "F32", [1], new byte[4]),
            new("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [8], new byte[32]),
        ]);
        var errors = Refused();
        Assert.Equal(20, errors.Count);
        Assert.Contains(errors, error => error is
        {
            Key: "model.layers.0.self_attn.q_proj.weight",
            Value: null,
            Rule: "is missing; a qwen2 model needs it with the shape [64, 64]",
        });

        HuggingFaceWriter.Write(Golden.Path("architectures/qwen2.gguf"), _folder.Root, "qwen2", shards: 2);
        File.Delete(Weights);
        var second = _folder.Path("model-00002-of-00002.safetensors");
        File.WriteAllBytes(second, SafetensorsWriter.ToBytes("""{}""", []));
        errors = Refused();
        Assert.Equal(19, errors.Count);
        Assert.All(errors, error => Assert.Equal("is not in model-00002-of-00002.safetensors", error.Rule));
        Assert.All(errors, error => Assert.Equal(_folder.Path("model.safetensors.index.json"), error.Source));
        File.Delete(second);
        Assert.Equal("model-00002-of-00002.safetensors", Assert.Single(Refused()).Key);
    }

    [Theory]
    [InlineData("F32", 63, "[63]", "must have the shape [64]")]
    [InlineData("I32", 64, "I32", "must be F32 or F16 or BF16")]
    public void A_tensor_of_another_shape_or_type_is_refused(string dtype, int count, string value, string rule)
    {
        var tensors = SafetensorsWriter.ReadFile(Weights).Where(tensor => tensor.Name != Needed);
        SafetensorsWriter.WriteFolder(_folder.Root, [.. tensors, new(Needed, dtype, [count], new byte[count * 4])]);
        var error = Assert.Single(Refused());
        Assert.Equal((Needed, value, rule, Weights), (error.Key, error.Value, error.Rule, error.Source));
    }

    [Fact]
    public void A_tensor_that_is_not_known_is_refused_and_saved_buffers_are_not()
    {
        List<SafetensorsData> tensors = [.. SafetensorsWriter.ReadFile(Weights), new("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [8], new byte[32])];
        SafetensorsWriter.WriteFolder(_folder.Root, tensors);
        using (ModelFile.Open(_folder.Root))
        {
        }
        SafetensorsWriter.WriteFolder(_folder.Root, [.. tensors, new("model.layers.0.self_attn.o_proj.bias", "F32", [64], new byte[256])]);
        Assert.Equal("model.layers.0.self_attn.o_proj.bias", Assert.Single(Refused()).Key);
    }

    [Theory]
    [InlineData("../model.safetensors")]
    [InlineData("/etc/passwd")]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("")]
    public void A_shard_outside_the_folder_is_refused(string shard)
    {
        File.Delete(Weights);
        File.WriteAllText(_folder.Path("model.safetensors.index.json"), $"{{\"weight_map\": {{\"{Needed}\": \"{shard}\"}}}}");
        var error = Assert.Single(Refused());
        Assert.Equal(($"weight_map.{Needed}", "must be the name of a file in the folder"), (error.Key, error.Rule));
    }

    private IReadOnlyList<InputError> Refused() => Assert.Throws<InvalidInputException>(() => ModelFile.Open(_folder.Root)).Errors;
}
