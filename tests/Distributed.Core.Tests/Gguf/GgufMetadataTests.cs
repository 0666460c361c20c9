using Distributed.Core.Gguf;
using Distributed.Testing;

namespace Distributed.Core.Tests.Gguf;

public sealed class GgufMetadataTests : IDisposable
{
    private static readonly Dictionary<string, object> Values = new()
    {
        ["general.architecture"] = "llama",
        ["u8"] = byte.MaxValue,
        ["i8"] = sbyte.MinValue,
        ["u16"] = ushort.MaxValue,
        ["i16"] = short.MinValue,
        ["u32"] = uint.MaxValue,
        ["i32"] = int.MinValue,
        ["u64"] = ulong.MaxValue,
        ["i64"] = long.MinValue,
        ["f32"] = 0.1f,
        ["f64"] = 0.1,
        ["yes"] = true,
        ["text"] = "grüße, 世界",
        ["empty"] = "",
        ["strings"] = new[] { "a", "", "世" },
        ["ints"] = new[] { 1, -2, 3 },
        ["bytes"] = new byte[] { 1, 2 },
        ["floats"] = new[] { 1.5f, -0.25f },
        ["bools"] = new[] { true, false },
        ["none"] = Array.Empty<string>(),
    };

    private readonly TempFolder _folder = new();
    private readonly GgufFile _file;

    public GgufMetadataTests()
    {
        var writer = new GgufWriter();
        foreach (var (key, value) in Values)
            writer.Set(key, value);
        writer.Write(_folder.Path("values.gguf"));
        _file = GgufFile.Open(_folder.Path("values.gguf"));
    }

    private GgufMetadata Metadata => _file.Metadata;

    public void Dispose()
    {
        _file.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Values_of_all_types_come_back_in_order()
    {
        Assert.Equal(Values.Keys, Metadata.Keys);
        foreach (var (key, value) in Values)
            Assert.Equal(value, Metadata.GetValue(key));
    }

    [Fact]
    public void A_copied_file_is_the_same_byte_for_byte()
    {
        var writer = new GgufWriter();
        writer.SetAll(Metadata);

        Assert.Equal(File.ReadAllBytes(_file.Path), writer.ToArray());
    }

    [Fact]
    public void Integers_are_read_from_any_integer_type_that_fits()
    {
        Assert.Equal(255, Metadata.GetInt32("u8"));
        Assert.Equal(-128, Metadata.GetInt32("i8"));
        Assert.Equal(uint.MaxValue, Metadata.GetUInt32("u32"));
        Assert.Equal(uint.MaxValue, Metadata.GetInt64("u32"));
        Assert.Equal(long.MinValue, Metadata.GetInt64("i64"));
        Assert.Equal([1, 2], Metadata.GetInt32s("bytes"));
    }

    [Theory]
    [InlineData("u32", "4294967295")]
    [InlineData("u64", "18446744073709551615")]
    [InlineData("i64", "-9223372036854775808")]
    public void An_integer_that_does_not_fit_is_refused_with_the_range(string key, string value)
    {
        var error = Refused(() => Metadata.GetInt32(key));

        Assert.Equal((key, value, "must lie between -2147483648 and 2147483647"), (error.Key, error.Value, error.Rule));
        Assert.Equal(_file.Path, error.Source);
    }

    [Fact]
    public void Floats_are_read_from_both_float_types()
    {
        Assert.Equal(0.1f, Metadata.GetSingle("f32"));
        Assert.Equal(0.1f, Metadata.GetSingle("f64"));
        Assert.Equal([1.5f, -0.25f], Metadata.GetSingles("floats"));
    }

    [Fact]
    public void Strings_come_as_text_and_as_bytes()
    {
        Assert.Equal(["a", "", "世"], Metadata.GetStrings("strings"));
        Assert.Equal("世"u8.ToArray(), Metadata.GetStringBytes("strings")[2]);
        Assert.Equal(3, Metadata.ArrayLength("strings"));
        Assert.Null(Metadata.ArrayLength("text"));
    }

    [Fact]
    public void A_missing_key_is_refused_by_Get_and_false_to_TryGet()
    {
        var error = Refused(() => Metadata.GetInt32(Metadata.ArchKey("block_count")));

        Assert.Equal(("llama.block_count", null, "is missing; it must be an integer"), (error.Key, error.Value, error.Rule));
        Assert.False(Metadata.TryGetInt32("llama.block_count", out _));
        Assert.False(Metadata.TryGetString("nothing", out _));
        Assert.False(Metadata.TryGetSingle("nothing", out _));
        Assert.False(Metadata.TryGetBool("nothing", out _));
    }

    [Fact]
    public void A_value_of_another_type_is_refused_with_its_type()
    {
        Assert.Equal("0.1 (Float32)", Refused(() => Metadata.GetInt32("f32")).Value);
        Assert.Equal("255 (UInt8)", Refused(() => Metadata.GetSingle("u8")).Value);
        Assert.Equal("true (Bool)", Refused(() => Metadata.GetString("yes")).Value);
        Assert.Equal("grüße, 世界 (String)", Refused(() => Metadata.TryGetBool("text", out _)).Value);
        Assert.Equal("[3] 1, -2, 3 (Array of Int32)", Refused(() => Metadata.GetInt32("ints")).Value);
        Assert.Equal("must be an array of strings", Refused(() => Metadata.GetStrings("ints")).Rule);
        Assert.Equal("must be an array of integers", Refused(() => Metadata.GetInt32s("floats")).Rule);
        Assert.Equal("must be an array of floats", Refused(() => Metadata.GetSingles("f32")).Rule);
    }

    [Fact]
    public void A_listing_shows_the_first_elements_of_an_array()
    {
        Assert.Equal("[3] 1, -2, …", Metadata.Format("ints", 2));
        Assert.Equal("[3] \"a\", \"\", \"世\"", Metadata.Format("strings"));
        Assert.Equal("[0] ", Metadata.Format("none"));
        Assert.Equal("Array of Bool", Metadata.TypeName("bools"));
    }

    [Fact]
    public void A_closed_file_is_not_read()
    {
        _file.Dispose();

        Assert.Throws<ObjectDisposedException>(() => Metadata.GetInt32("i32"));
    }

    private static InputError Refused(Action action) => Assert.Single(Assert.Throws<InvalidInputException>(action).Errors);
}
