using System.Buffers;
using System.Numerics;

namespace Distributed.Core.Quantization;

/// <summary>
/// Converts tensors from one format to another on several threads, piece by piece: memory does not grow with the tensor. All
/// formats keep rows as whole blocks, so a tensor is one long row of them; a piece begins at a whole block of every format.
/// </summary>
/// <param name="threads">Threads that compute.</param>
/// <param name="progress">Told after each round how many bytes of all tensors so far have been read; null for nobody.</param>
/// <param name="cancellation">Gives up between two pieces.</param>
internal sealed class TensorConversion(int threads, IProgress<long>? progress, CancellationToken cancellation)
{
    private const int PieceValues = 1 << 15;
    private const int PiecesPerRound = 64;

    private readonly ParallelOptions _options = new() { MaxDegreeOfParallelism = threads, CancellationToken = cancellation };
    private readonly byte[] _output = new byte[PiecesPerRound * PieceValues * sizeof(float)];
    private long _bytesRead;

    /// <summary>Writes a tensor in another format, or as it is where it has that one.</summary>
    /// <exception cref="InvalidInputException">A value to be converted is not finite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void Write(Tensor source, QuantType type, Stream stream)
    {
        var values = source.Rows * source.Columns;
        for (var first = 0L; first < values; first += PiecesPerRound * PieceValues)
        {
            cancellation.ThrowIfCancellationRequested();
            var count = (int)Math.Min(PiecesPerRound * PieceValues, values - first);
            if (source.Type == type)
                stream.Write(Blocks(source, first, count));
            else
                stream.Write(Convert(source, type, first, count));
            _bytesRead += source.Type.RowBytes(count);
            progress?.Report(_bytesRead);
        }
    }

    private ReadOnlySpan<byte> Convert(Tensor source, QuantType type, long first, int count)
    {
        var quantize = type.Quantize ?? throw new ArgumentException($"{type} is only read", nameof(type));
        var notFinite = 0;
        Parallel.For(0, (count + PieceValues - 1) / PieceValues, _options, piece =>
        {
            var start = piece * PieceValues;
            var length = Math.Min(PieceValues, count - start);
            var buffer = ArrayPool<float>.Shared.Rent(PieceValues);
            var values = buffer.AsSpan(0, length);
            source.Type.Dequantize(Blocks(source, first + start, length), values);
            if (!AreFinite(values))
                Volatile.Write(ref notFinite, 1);
            quantize(values, _output.AsSpan((int)type.RowBytes(start), (int)type.RowBytes(length)));
            ArrayPool<float>.Shared.Return(buffer);
        });
        if (notFinite != 0)
            throw new InvalidInputException(source.Name, "infinite or not a number in places", "must have finite values only");
        return _output.AsSpan(0, (int)type.RowBytes(count));
    }

    private static unsafe ReadOnlySpan<byte> Blocks(Tensor tensor, long first, int count) =>
        new(tensor.Data + tensor.Type.RowBytes(first), (int)tensor.Type.RowBytes(count));

    // Zero times anything that is not finite is NaN.
    private static bool AreFinite(ReadOnlySpan<float> values)
    {
        var sum = Vector<float>.Zero;
        for (; values.Length >= Vector<float>.Count; values = values[Vector<float>.Count..])
            sum += new Vector<float>(values) * 0;
        var rest = Vector.Sum(sum);
        foreach (var value in values)
            rest += value * 0;
        return rest == 0;
    }
}
