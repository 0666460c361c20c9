using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Distributed.Core.Quantization;

namespace Distributed.Core;

/// <summary>
/// A named, read-only array of weights where it lies in a memory-mapped file. The file is not copied; pages come in as they
/// are touched. It may be used until the file is disposed of. A format that stores weights otherwise than kernels read them has
/// them made on first use (<see cref="Made"/>), or gathered from several places (<see cref="Stack"/>).
/// </summary>
public sealed unsafe class Tensor
{
    private readonly byte* _data;
    private readonly object? _owner;
    private readonly Lazy<byte[]>? _made;
    private readonly IReadOnlyList<FileRange> _madeOf = [];

    /// <param name="name">The name in the file, e.g. <c>blk.0.attn_q.weight</c>.</param>
    /// <param name="type">The format of its values.</param>
    /// <param name="dimensions">As the file has them, the fastest-varying (a row's length) first; one to four.</param>
    /// <param name="data">The first byte.</param>
    /// <param name="owner">Whatever must stay alive for <paramref name="data"/> to stay valid.</param>
    public Tensor(string name, QuantType type, IReadOnlyList<long> dimensions, byte* data, object owner)
        : this(name, type, dimensions)
    {
        _data = data;
        _owner = owner;
    }

    private Tensor(
        string name, QuantType type, IReadOnlyList<long> dimensions, Lazy<byte[]>? made = null, IReadOnlyList<FileRange>? madeOf = null,
        IReadOnlyList<Tensor>? parts = null)
    {
        Name = name;
        Type = type;
        Dimensions = dimensions;
        Columns = dimensions[0];
        Rows = 1;
        for (var i = 1; i < dimensions.Count; i++)
            Rows *= dimensions[i];
        _made = made;
        _madeOf = madeOf ?? [];
        Parts = parts ?? [this];
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

    /// <summary>The places that hold its rows, each as many of them, in order: itself alone, unless it is a <see cref="Stack"/>.</summary>
    public IReadOnlyList<Tensor> Parts { get; }

    /// <summary>Whether its bytes are made on first use (<see cref="Made"/>): memory of the process, not of a file.</summary>
    public bool IsMade => _made is not null;

    /// <summary>
    /// Where its bytes lie in files, or those it is made of, each once; empty where that is in none. Part of a fused tensor gives the
    /// whole one.
    /// </summary>
    public IReadOnlyList<FileRange> FileRanges =>
        Parts is not [var only] || only != this ? [.. Parts.SelectMany(part => part.FileRanges).Distinct()]
        : _owner is MappedFile file ? [new FileRange(file.Path, _data - file.Data, Bytes)]
        : _owner is Tensor whole ? whole.FileRanges
        : _madeOf;

    /// <summary>The first byte, for kernels and uploads; all rows follow.</summary>
    /// <exception cref="InvalidOperationException">They do not: it is a <see cref="Stack"/>. Its <see cref="Parts"/> have data.</exception>
    public byte* Data
    {
        get
        {
            if (Parts is not [var only])
                throw new InvalidOperationException($"the rows of {Name} lie in {Parts.Count} places");
            if (only != this)
                return only.Data;
            GC.KeepAlive(_owner);
            return _made is null ? _data : (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_made.Value));
        }
    }

    /// <summary>A tensor whose bytes are made on first use, once, and held until nothing refers to it.</summary>
    /// <param name="name">The name.</param>
    /// <param name="type">The format of its values.</param>
    /// <param name="dimensions">A row's length first.</param>
    /// <param name="fill">Fills the bytes, which are zero.</param>
    /// <param name="madeOf">The bytes of files that <paramref name="fill"/> reads; null for none.</param>
    public static Tensor Made(
        string name, QuantType type, IReadOnlyList<long> dimensions, Action<Span<byte>> fill, IReadOnlyList<FileRange>? madeOf = null)
    {
        Tensor? tensor = null;
        return tensor = new Tensor(name, type, dimensions, new Lazy<byte[]>(() =>
        {
            var bytes = GC.AllocateArray<byte>(checked((int)tensor!.Bytes), pinned: true);
            fill(bytes);
            return bytes;
        }), madeOf);
    }

    /// <summary>Matrices of one shape and type, wherever they lie, as one tensor with a dimension more.</summary>
    /// <param name="name">The name.</param>
    /// <param name="parts">At least one, none of them a stack.</param>
    public static Tensor Stack(string name, IReadOnlyList<Tensor> parts) =>
        new(name, parts[0].Type, [.. parts[0].Dimensions, parts.Count], parts: parts);

    /// <summary>The first byte of a row; those behind it in the same one of <see cref="Parts"/> follow.</summary>
    public byte* RowData(long row)
    {
        var rowsOfPart = Rows / Parts.Count;
        return Parts[(int)(row / rowsOfPart)].Data + (row % rowsOfPart * Type.RowBytes(Columns));
    }

    /// <summary>The bytes of one row.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such row.</exception>
    public ReadOnlySpan<byte> Row(long row)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(row);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, Rows);
        return new ReadOnlySpan<byte>(RowData(row), checked((int)Type.RowBytes(Columns)));
    }

    /// <summary>Some rows as a tensor of its own, in the same place.</summary>
    /// <param name="name">The name it gets.</param>
    /// <param name="first">The first row.</param>
    /// <param name="count">Rows, all in the same one of <see cref="Parts"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are no such rows.</exception>
    public Tensor RowRange(string name, long first, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Rows - first);
        return new Tensor(name, Type, [Columns, count], RowData(first), this);
    }

    /// <summary>One row as float32.</summary>
    public void DequantizeRow(long row, Span<float> values) => Type.Dequantize(Row(row), values);

    /// <inheritdoc/>
    public override string ToString() => $"{Name} [{string.Join(", ", Dimensions)}] {Type}";
}
