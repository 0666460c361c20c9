using System.Buffers.Binary;

namespace Distributed.Worker.Weights;

/// <summary>A run of bytes in one of a model's files that travels, and is checked, as one.</summary>
/// <param name="Part">The file's index.</param>
/// <param name="Offset">The first byte, counted from the file's.</param>
/// <param name="Count">How many.</param>
public readonly record struct Chunk(int Part, long Offset, int Count);

/// <summary>
/// On record: which chunks of a stored model have been written, with their checksums. Every process that adds to a model appends to
/// a journal of its own, so they need not wait for each other. A record is written behind its chunk: one that says what is not there
/// is found out by the checksum. The head of a journal says what its writer meant to add, which counts as taken.
/// </summary>
internal sealed class ChunkJournal : IDisposable
{
    private const string Prefix = "chunks-";
    private const int HeadBytes = 16;
    private const int RecordBytes = 32;
    private const int MaxAttempts = 100;
    private const ulong Magic = 0x314b_4e55_4843_4344; // DCHUNK1

    private readonly FileStream _file;
    private long _planned;

    private ChunkJournal(FileStream file) => _file = file;

    /// <summary>Starts a journal.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public static ChunkJournal Create(string folder)
    {
        var path = Path.Combine(folder, $"{Prefix}{Guid.NewGuid():N}");
        var journal = new ChunkJournal(new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0));
        journal.Plan(0);
        return journal;
    }

    /// <summary>
    /// What is on record in a folder, and the bytes that it takes and is about to take; nothing where the folder is not there. Other
    /// processes may put its journals together, or delete it, at the same time.
    /// </summary>
    public static (Dictionary<Chunk, UInt128> Chunks, long Bytes, IReadOnlyList<string> Files) Read(string folder)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return ReadOnce(folder);
            }
            catch (DirectoryNotFoundException)
            {
                return ([], 0, []);
            }
            catch (FileNotFoundException) when (attempt < MaxAttempts)
            {
                // Its records are in the journal that was put together of it and others.
            }
        }
    }

    /// <summary>Puts the journals of a folder that nobody writes to together into one.</summary>
    public static void Merge(string folder)
    {
        var (chunks, bytes, files) = Read(folder);
        if (files.Count == 0 || (files.Count == 1 && bytes == chunks.Keys.Sum(chunk => (long)chunk.Count)))
            return;
        using (var merged = Create(folder))
        {
            merged.Plan(chunks.Keys.Sum(chunk => (long)chunk.Count));
            foreach (var (chunk, checksum) in chunks)
                merged.Append(chunk, checksum);
        }

        foreach (var file in files)
            File.Delete(file);
    }

    /// <summary>Says that so many bytes more are about to be added.</summary>
    public void Plan(long bytes)
    {
        _planned += bytes;
        Span<byte> head = stackalloc byte[HeadBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(head, Magic);
        BinaryPrimitives.WriteInt64LittleEndian(head[8..], _planned);
        _file.Position = 0;
        _file.Write(head);
        _file.Position = _file.Length;
    }

    /// <summary>Records a chunk that has been written.</summary>
    public void Append(Chunk chunk, UInt128 checksum)
    {
        Span<byte> record = stackalloc byte[RecordBytes];
        BinaryPrimitives.WriteInt32LittleEndian(record, chunk.Part);
        BinaryPrimitives.WriteInt32LittleEndian(record[4..], chunk.Count);
        BinaryPrimitives.WriteInt64LittleEndian(record[8..], chunk.Offset);
        BinaryPrimitives.WriteUInt128LittleEndian(record[16..], checksum);
        _file.Write(record);
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static (Dictionary<Chunk, UInt128> Chunks, long Bytes, IReadOnlyList<string> Files) ReadOnce(string folder)
    {
        var (chunks, bytes, files) = (new Dictionary<Chunk, UInt128>(), 0L, new List<string>());
        // Of two that name one chunk the later one is right.
        foreach (var file in new DirectoryInfo(folder).GetFiles($"{Prefix}*").OrderBy(file => file.LastWriteTimeUtc))
        {
            files.Add(file.FullName);
            bytes += Read(file.FullName, chunks);
        }

        return (chunks, bytes, files);
    }

    private static long Read(string path, Dictionary<Chunk, UInt128> chunks)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        Span<byte> head = stackalloc byte[HeadBytes];
        if (file.ReadAtLeast(head, HeadBytes, throwOnEndOfStream: false) < HeadBytes || BinaryPrimitives.ReadUInt64LittleEndian(head) != Magic)
            return 0;
        var (planned, recorded) = (Math.Max(0, BinaryPrimitives.ReadInt64LittleEndian(head[8..])), 0L);
        Span<byte> record = stackalloc byte[RecordBytes];
        // The last one of a writer that was killed may be cut off.
        while (file.ReadAtLeast(record, RecordBytes, throwOnEndOfStream: false) == RecordBytes)
        {
            var count = BinaryPrimitives.ReadInt32LittleEndian(record[4..]);
            if (count <= 0)
                continue;
            var chunk = new Chunk(BinaryPrimitives.ReadInt32LittleEndian(record), BinaryPrimitives.ReadInt64LittleEndian(record[8..]), count);
            chunks[chunk] = BinaryPrimitives.ReadUInt128LittleEndian(record[16..]);
            recorded += count;
        }

        return Math.Max(planned, recorded);
    }
}
