using System.Numerics;
using System.Runtime.Intrinsics;

namespace Distributed.Cpu.Kernels;

/// <summary>
/// Not bytes, but what a type of weights does to them: a tree of operations, from which <see cref="OneTokenAssembler"/> makes code. So
/// what a type unpacks stands in one place for all kernels. The "address" of a row is an offset from the unit's first byte.
/// </summary>
internal readonly unsafe struct RowBytesCode : IRowBytes<RowBytesCode>
{
    private RowBytesCode(Node root) => Root = root;

    public static int Rows => 16;

    /// <summary>The operation whose result this is.</summary>
    public Node Root { get; }

    public static RowBytesCode Load(byte* rows, long stride) => new(new Node.Load((int)(nint)rows));

    public static RowBytesCode LoadBits(byte* rows, long stride, int half)
    {
        // Eight times the first byte of the half, eight times the second; then one bit of each.
        var places = Vector128.Create(Vector64.Create((byte)(2 * half)), Vector64.Create((byte)((2 * half) + 1)));
        var bits = Vector128.Create(0x8040201008040201UL).AsByte();
        return new(new Node.Test(new Node.Shuffle(new Node.Load((int)(nint)rows), places, IsTable: false), bits));
    }

    // Of a shift down and one up, one is left where the mask takes away what the first one cuts off.
    public static RowBytesCode operator &(RowBytesCode left, byte mask) => new(new Node.Constant(
        left.Root is Node.Shift { Value: Node.Shift { Bits: <= 0 } down, Bits: >= 0 } up && BitOperations.TrailingZeroCount(mask) >= up.Bits
            ? new Node.Shift(down.Value, up.Bits + down.Bits) : left.Root,
        NodeKind.And, Vector128.Create(mask)));

    public static RowBytesCode operator ^(RowBytesCode left, byte mask) => new(new Node.Constant(left.Root, NodeKind.Xor, Vector128.Create(mask)));

    public static RowBytesCode operator |(RowBytesCode left, RowBytesCode right) => new(new Node.Or(left.Root, right.Root));

    public static RowBytesCode operator <<(RowBytesCode value, int bits) => new(new Node.Shift(value.Root, bits));

    public static RowBytesCode operator >>(RowBytesCode value, int bits) => new(new Node.Shift(value.Root, -bits));

    // Both are single bits, and one is moved to where the other is.
    public static RowBytesCode Select(RowBytesCode bytes, byte bit, byte value) => BitOperations.IsPow2(bit) && BitOperations.IsPow2(value)
        ? (bytes << (BitOperations.Log2(value) - BitOperations.Log2(bit))) & value
        : throw new NotSupportedException($"{bit} and {value} are to be one bit each");

    public static RowBytesCode Lookup(RowBytesCode indices, byte* table) =>
        new(new Node.Shuffle(indices.Root, Vector128.Load(table), IsTable: true));

    public static void Store(RowBytesCode value, byte* numbers) => throw new NotSupportedException();

    internal enum NodeKind
    {
        And,
        Xor,
    }

    /// <summary>One operation on sixteen bytes of each row. Constants are sixteen bytes, the same for all rows.</summary>
    internal abstract record Node
    {
        /// <summary>Sixteen bytes that far behind the unit's first one.</summary>
        internal sealed record Load(int Offset) : Node;

        internal sealed record Constant(Node Value, NodeKind Kind, Vector128<byte> Bytes) : Node;

        internal sealed record Or(Node Left, Node Right) : Node;

        /// <summary>Shifts 32-bit numbers to the left, or by fewer than 0 bits to the right.</summary>
        internal sealed record Shift(Node Value, int Bits) : Node;

        /// <summary>A byte of the table for each byte of the value, or with places a byte of the value for each of them.</summary>
        internal sealed record Shuffle(Node Value, Vector128<byte> Bytes, bool IsTable) : Node;

        /// <summary>All ones where a bit is set, 0 elsewhere.</summary>
        internal sealed record Test(Node Value, Vector128<byte> Bit) : Node;
    }
}
