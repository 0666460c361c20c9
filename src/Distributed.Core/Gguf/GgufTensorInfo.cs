namespace Distributed.Core.Gguf;

/// <summary>A tensor as a header describes it.</summary>
/// <param name="Name">The name.</param>
/// <param name="Dimensions">One to four, a row's length first.</param>
/// <param name="TypeId">The number of its quant type.</param>
/// <param name="Offset">Of its first byte, from the start of the tensors' bytes.</param>
internal sealed record GgufTensorInfo(string Name, ulong[] Dimensions, uint TypeId, ulong Offset)
{
    /// <summary>The most dimensions.</summary>
    public const int MaxDimensions = 4;

    /// <summary>Reads one description.</summary>
    public static GgufTensorInfo Read(GgufReader reader)
    {
        var name = reader.ReadName("tensor name", GgufHeader.MaxTensorNameBytes);
        var count = reader.Read<uint>(name);
        if (count is 0 or > MaxDimensions)
            throw reader.Error(name, $"{count} dimensions", $"must have 1 to {MaxDimensions}");
        var dimensions = new ulong[count];
        for (var i = 0; i < dimensions.Length; i++)
            dimensions[i] = reader.Read<ulong>(name);
        return new GgufTensorInfo(name, dimensions, reader.Read<uint>(name), reader.Read<ulong>(name));
    }
}
