using System.Text.Json;
using Distributed.Core.Quantization;
using Distributed.Testing;

namespace Distributed.Core.Tests.Quantization;

public class QuantTypesTests
{
    private const double RelativeTolerance = 1e-6;

    // As ggml names its files: K in upper case, all else in lower.
    private static string FileName(QuantType type) => type.Name.ToLowerInvariant().Replace("_k", "_K", StringComparison.Ordinal);

    public static TheoryData<string> Names => new(QuantTypes.All.Where(type => type != F32.Type).Select(type => type.Name));

    [Theory]
    [MemberData(nameof(Names))]
    public void Quantised_rows_give_the_reference_values(string name) => Compare(name, "");

    [Theory]
    [MemberData(nameof(Names))]
    public void Blocks_of_random_bytes_give_the_reference_values(string name)
    {
        // Two have rules that not all bytes keep: the reference has no random blocks of them.
        if (name is not ("TQ1_0" or "NVFP4"))
            Compare(name, ".random");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Number_and_sizes_are_those_of_the_reference(string name)
    {
        var type = QuantTypes.ByName(name);
        using var index = JsonDocument.Parse(File.ReadAllText(Golden.Path("blocks/index.json")));
        var row = index.RootElement.GetProperty("types").EnumerateArray()
            .Single(row => row.GetProperty("type").GetString() == FileName(type));

        Assert.Equal(row.GetProperty("ggml_type").GetInt32(), type.GgmlId);
        Assert.Equal(row.GetProperty("block").GetInt32(), type.BlockLength);
        Assert.Equal(row.GetProperty("block_bytes").GetInt32(), type.BlockBytes);
        Assert.Equal(type, QuantTypes.ById((uint)type.GgmlId));
    }

    [Fact]
    public void Single_precision_is_taken_as_it_is()
    {
        var values = new float[4 * 256];
        F32.Type.Dequantize(File.ReadAllBytes(Golden.Path("blocks/src.f32")), values);

        Assert.Equal(Golden.ReadF32("blocks/src.f32"), values);
    }

    [Fact]
    public void A_name_is_found_in_any_case() => Assert.Equal(Q4_K.Type, QuantTypes.ByName("q4_k"));

    [Fact]
    public void An_unknown_name_is_refused_with_all_names()
    {
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => QuantTypes.ByName("Q9_Z", "--type")).Errors);

        Assert.Equal(("--type", "Q9_Z"), (error.Key, error.Value));
        Assert.Equal($"must be one of {string.Join(", ", QuantTypes.All.Select(type => type.Name))}", error.Rule);
    }

    [Theory]
    [InlineData(15u, "type 15 (Q8_K)")]
    [InlineData(9u, "type 9 (Q8_1)")]
    [InlineData(999u, "type 999")]
    public void A_number_without_a_row_is_refused_by_its_name(uint id, string value)
    {
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => QuantTypes.ById(id)).Errors);

        Assert.Equal(value, error.Value);
        Assert.Contains("Q4_K", error.Rule, StringComparison.Ordinal);
    }

    private static void Compare(string name, string suffix)
    {
        var type = QuantTypes.ByName(name);
        var blocks = File.ReadAllBytes(Golden.Path($"blocks/{FileName(type)}{suffix}.bin"));
        var expected = Golden.ReadF32($"blocks/{FileName(type)}{suffix}.f32");
        Assert.Equal(expected.Length, blocks.Length / type.BlockBytes * type.BlockLength);

        var actual = new float[expected.Length];
        type.Dequantize(blocks, actual);

        for (var i = 0; i < expected.Length; i++)
        {
            var (wanted, found) = ((double)expected[i], (double)actual[i]);
            var isEqual = double.IsFinite(wanted) ? Math.Abs(found - wanted) <= RelativeTolerance * Math.Abs(wanted) : found.Equals(wanted);
            Assert.True(isEqual, $"value {i}: {found} instead of {wanted}");
        }
    }
}
