using System.Buffers.Binary;
using Distributed.Core.Gguf;
using Distributed.Testing;

namespace Distributed.Core.Tests.Gguf;

/// <summary>A valid file, changed at random: it opens and can be read to the last byte, or it is refused; nothing else.</summary>
public sealed class MutatedGgufTests : IDisposable
{
    private const int Mutations = 12_000;

    private readonly TempFolder _folder = new();
    private static readonly byte[] Model = TinyModel.Create().ToArray();
    private static readonly int HeaderLength = FindHeaderLength();

    // Lengths, counts and offsets that overflow, wrap or lie just beside what is allowed.
    private static readonly ulong[] Extremes =
    [
        0, 1, 3, 5, 7, 9, 12, 13, 31, 33, 63, 65, 255, 1 << 16, int.MaxValue, 1UL << 31, uint.MaxValue, 1UL << 32, 1UL << 60,
        1UL << 61, long.MaxValue, 1UL << 63, ulong.MaxValue - 31, ulong.MaxValue,
    ];

    private static readonly Gen<ulong> Extreme = Gen.Int[0, Extremes.Length - 1].Select(index => Extremes[index]);

    private static readonly Gen<Action<byte[]>> FlipByte = Gen.Select(Gen.Int[0, HeaderLength - 1], Gen.Byte)
        .Select((at, value) => (Action<byte[]>)(bytes => bytes[at] ^= value));

    private static readonly Gen<Action<byte[]>> Overwrite32 = Gen
        .Select(Gen.Int[0, HeaderLength - 4], Extreme)
        .Select((at, value) => (Action<byte[]>)(bytes => BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), (uint)value)));

    private static readonly Gen<Action<byte[]>> Overwrite64 = Gen
        .Select(Gen.Int[0, HeaderLength - 8], Extreme)
        .Select((at, value) => (Action<byte[]>)(bytes => BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at), value)));

    // Copies one stretch of the header over another: keys twice, strings where numbers were.
    private static readonly Gen<Action<byte[]>> Repeat = Gen
        .Select(Gen.Int[0, HeaderLength - 64], Gen.Int[0, HeaderLength - 64], Gen.Int[1, 64])
        .Select((from, to, length) => (Action<byte[]>)(bytes => bytes.AsSpan(from, length).CopyTo(bytes.AsSpan(to))));

    private static readonly Gen<byte[]> Mutated = Gen.Select(
        Gen.OneOf(FlipByte, Overwrite32, Overwrite64, Repeat).Array[1, 2],
        Gen.Frequency((9, Gen.Const(Model.Length)), (1, Gen.Int[1, Model.Length])),
        (mutations, length) =>
        {
            var bytes = Model.ToArray();
            foreach (var mutate in mutations)
                mutate(bytes);
            return bytes[..length];
        });

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_changed_header_is_refused_or_read_to_the_last_byte()
    {
        var (opened, refused) = (0, 0);
        Mutated.Sample(bytes =>
        {
            var path = _folder.Write($"{Environment.CurrentManagedThreadId}.gguf", bytes);
            try
            {
                using var file = GgufFile.Open(path);
                ReadAll(file);
                OpenModel(path);
                Interlocked.Increment(ref opened);
            }
            catch (InvalidInputException)
            {
                Interlocked.Increment(ref refused);
            }
        }, iter: Mutations, print: Convert.ToHexString);

        Assert.True(opened > Mutations / 20, $"only {opened} opened: the test says little about reading");
        Assert.True(refused > Mutations / 20, $"only {refused} were refused: the test says little about refusing");
    }

    private static void ReadAll(GgufFile file)
    {
        foreach (var key in file.Metadata.Keys)
        {
            _ = file.Metadata.Format(key);
            _ = file.Metadata.GetValue(key);
        }

        foreach (var tensor in file.Tensors.Values)
        {
            var values = new float[tensor.Columns];
            for (var row = 0L; row < tensor.Rows; row++)
                tensor.DequantizeRow(row, values);
        }
    }

    private static void OpenModel(string path)
    {
        try
        {
            using var model = ModelFile.Open(path);
            Assert.Equal(32, model.Hash.Length);
            Assert.NotEmpty(StageTensors.For(model, 0, model.Config.NumLayers, true, true));
            Assert.NotNull(model.Tokenizer.Decode(model.Tokenizer.Encode("a aa")));
        }
        catch (InvalidInputException)
        {
        }
    }

    private static int FindHeaderLength()
    {
        using var folder = new TempFolder();
        using var file = GgufFile.Open(folder.Write("model.gguf", Model));
        return (int)(Model.Length - file.Tensors.Values.Sum(tensor => (tensor.Bytes + 31) / 32 * 32));
    }
}
