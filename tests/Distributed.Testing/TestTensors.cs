using Distributed.Core;
using Distributed.Core.Quantization;

namespace Distributed.Testing;

/// <summary>Tensors made in memory.</summary>
public static unsafe class TestTensors
{
    private const int GoldenColumns = 256;

    /// <summary>A tensor of the given bytes.</summary>
    public static Tensor Of(string name, QuantType type, ReadOnlySpan<byte> bytes, params long[] dimensions)
    {
        var memory = GC.AllocateUninitializedArray<byte>(bytes.Length, pinned: true);
        bytes.CopyTo(memory);
        return new Tensor(name, type, dimensions, (byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref memory[0]), memory);
    }

    /// <summary>A float32 tensor.</summary>
    public static Tensor Of(float[] values, params long[] dimensions) =>
        Of("test", F32.Type, System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values), dimensions);

    /// <summary>
    /// A matrix of any type, put together from the rows of 256 values that the reference data has of each; shorter pieces at the end
    /// of a row where <paramref name="columns"/> asks for it.
    /// </summary>
    public static Tensor Random(QuantType type, int rows, int columns, int seed)
    {
        var name = type == F32.Type ? "src.f32" : $"{type.Name}.bin";
        var file = Directory.EnumerateFiles(Golden.Path("blocks"))
            .Single(path => Path.GetFileName(path).Equals(name, StringComparison.OrdinalIgnoreCase));
        var source = File.ReadAllBytes(file);
        var sourceRow = (int)type.RowBytes(GoldenColumns);
        var random = new Random(seed);
        var bytes = new byte[type.RowBytes(columns) * rows];
        var at = 0;
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns; column += GoldenColumns)
            {
                var count = (int)type.RowBytes(Math.Min(GoldenColumns, columns - column));
                source.AsSpan(random.Next(source.Length / sourceRow) * sourceRow, count).CopyTo(bytes.AsSpan(at));
                at += count;
            }
        }
        return Of("test", type, bytes, columns, rows);
    }

    /// <summary>All values, row after row.</summary>
    public static float[] Values(Tensor tensor)
    {
        var values = new float[tensor.Rows * tensor.Columns];
        for (var row = 0; row < tensor.Rows; row++)
            tensor.DequantizeRow(row, values.AsSpan((int)(row * tensor.Columns), (int)tensor.Columns));
        return values;
    }
}
