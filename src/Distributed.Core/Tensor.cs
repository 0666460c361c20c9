using Distributed.Core.Quantization;

namespace Distributed.Core;

/// <summary>
/// A named, read-only array of weights where it lies in a memory-mapped file. The file is not copied; pages come in as they
/// are touched. It may be used until the file is disposed of.
/// </summary>
public sealed unsafe class Tensor
{
    private readonly byte* _data;
    private readonly object _owner;

    /// <param name="name">The name in the file, e.g. <c>blk.0.attn_q.weight</c>.</param>
    /// <param name="type">The format of its values.</param>
    /// <param name="dimensions">As the file has them, the fastest-varying (a row's length) first; one to four.</param>
    /// <param name="data">The first byte.</param>
    /// <param name="owner">Whatever must stay alive for <paramref name="data"/> to stay valid.</param>
    public Tensor(string name, QuantType type, IReadOnlyList<long> dimensions, byte* data, object owner)
    {
        Name = name;
        Type = type;
        Dimensions = dimensions;
        Columns = dimensions[0];
        Rows = dimensions.Skip(1).Aggregate(1L, (product, dimension) => product * dimension);
        _data = data;
        _owner = owner;
    }

    /// <summary>The name in the file.</summary>
    public string Name { get; }

    /// <summary>The format of the values.</summary>
    public QuantType Type { get; }

    /// <summary>The dimensions, a row's length first.</summary>
    public IReadOnlyList<long> Dimensions { get; }

    /// <summary>Values per row.</summary>
    public long Columns { get; }

    /// <summary>Rows: the product of all dimensions but the first.</summary>
    public long Rows { get; }

    /// <summary>Bytes of all rows.</summary>
    public long Bytes => Type.RowBytes(Columns) * Rows;

    /// <summary>The first byte, for kernels and uploads.</summary>
    public byte* Data
    {
        get
        {
            GC.KeepAlive(_owner);
            return _data;
        }
    }

    /// <summary>The bytes of one row.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such row.</exception>
    public ReadOnlySpan<byte> Row(long row)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(row);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, Rows);
        var bytes = Type.RowBytes(Columns);
        return new ReadOnlySpan<byte>(_data + (row * bytes), checked((int)bytes));
    }

    /// <summary>Some rows as a tensor of its own, in the same place.</summary>
    /// <param name="name">The name it gets.</param>
    /// <param name="first">The first row.</param>
    /// <param name="count">Rows.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are no such rows.</exception>
    public Tensor RowRange(string name, long first, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Rows - first);
        return new Tensor(name, Type, [Columns, count], _data + (first * Type.RowBytes(Columns)), _owner);
    }

    /// <summary>One row as float32.</summary>
    public void DequantizeRow(long row, Span<float> values) => Type.Dequantize(Row(row), values);

    /// <inheritdoc/>
    public override string ToString() => $"{Name} [{string.Join(", ", Dimensions)}] {Type}";
}
