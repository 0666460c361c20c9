using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Google.Protobuf.Collections;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Worker.Weights;

/// <summary>
/// What a <see cref="WeightStore"/> has of one model: its files, complete in length, with holes. Other processes may be writing other
/// parts of the same files, or the same parts, with the same bytes.
/// </summary>
public sealed class StoredModel : IDisposable
{
    private readonly string _folder;
    private readonly ModelFormat _format;
    private readonly RepeatedField<PartOutline> _parts;
    private readonly string[] _paths;
    private readonly SafeFileHandle?[] _files;
    private readonly IDisposable _lock;
    private readonly Func<long, CancellationToken, Task<ChunkJournal>> _makeRoom;
    private readonly Dictionary<Chunk, UInt128> _chunks;
    private readonly byte[] _buffer = new byte[WeightChunks.Bytes];
    private ChunkJournal? _journal;

    internal StoredModel(
        string folder, ModelOutline outline, IDisposable shared, Func<long, CancellationToken, Task<ChunkJournal>> makeRoom)
    {
        _folder = folder;
        _format = outline.Format == ModelOutline.Types.Format.HuggingFace ? ModelFormat.HuggingFace : ModelFormat.Gguf;
        _parts = outline.Parts;
        _paths = [.. ModelParts.Names(_format, _parts.Count).Select(name => Path.Combine(folder, name))];
        _files = new SafeFileHandle?[_parts.Count];
        _lock = shared;
        _makeRoom = makeRoom;
        _chunks = ChunkJournal.Read(folder).Chunks;
    }

    /// <summary>What must be there to open the model.</summary>
    public IEnumerable<Chunk> Headers => _parts.Index().SelectMany(part => Split(part.Index, 0, part.Item.HeaderBytes));

    /// <summary>What must be there to use some tensors of the model.</summary>
    /// <param name="tensors">Tensors of a model that <see cref="OpenModel"/> gave.</param>
    public IEnumerable<Chunk> ChunksOf(IEnumerable<Tensor> tensors)
    {
        var parts = _paths.Index().ToDictionary(part => part.Item, part => part.Index);
        return tensors.SelectMany(tensor => tensor.FileRanges).Distinct().OrderBy(range => (parts[range.Path], range.Offset))
            .SelectMany(range => Split(parts[range.Path], range.Offset, range.Bytes));
    }

    /// <summary>Those of some chunks that are not there, or not as they were written: all others are read and held against their checksums.</summary>
    public List<Chunk> Missing(IEnumerable<Chunk> chunks, CancellationToken cancellation)
    {
        var missing = new List<Chunk>();
        foreach (var chunk in chunks)
        {
            cancellation.ThrowIfCancellationRequested();
            if (!_chunks.TryGetValue(chunk, out var checksum) || !IsIntact(chunk, checksum))
                missing.Add(chunk);
        }

        return missing;
    }

    /// <summary>Makes room for bytes that are about to be written.</summary>
    /// <exception cref="StoreFullException">There is none.</exception>
    public async Task MakeRoomAsync(long bytes, CancellationToken cancellation)
    {
        // What is on record already is counted with it.
        var journal = await _makeRoom(bytes, cancellation);
        _journal?.Dispose();
        _journal = journal;
    }

    /// <summary>Writes a chunk whose checksum has been verified.</summary>
    public void Write(Chunk chunk, ReadOnlySpan<byte> data, UInt128 checksum)
    {
        RandomAccess.Write(Open(chunk.Part), data, chunk.Offset);
        _journal!.Append(chunk, checksum);
        _chunks[chunk] = checksum;
    }

    /// <summary>Opens the model, whose <see cref="Headers"/> are there. Its tensors may be used when their chunks are.</summary>
    /// <exception cref="InvalidInputException">It is no model that runs.</exception>
    public ModelFile OpenModel()
    {
        // Every file must have its length, whatever is in it.
        for (var part = 0; part < _parts.Count; part++)
            Open(part);
        var source = ModelParts.Open(_format, _folder, _parts.Count);
        try
        {
            return new ModelFile(source);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>Lets go of it: it may be thrown out from now on.</summary>
    public void Dispose()
    {
        _journal?.Dispose();
        foreach (var file in _files)
            file?.Dispose();
        _lock.Dispose();
    }

    private static IEnumerable<Chunk> Split(int part, long offset, long bytes)
    {
        for (var done = 0L; done < bytes; done += WeightChunks.Bytes)
            yield return new Chunk(part, offset + done, (int)Math.Min(WeightChunks.Bytes, bytes - done));
    }

    private bool IsIntact(Chunk chunk, UInt128 checksum)
    {
        var data = _buffer.AsSpan(0, chunk.Count);
        for (var done = 0; done < data.Length;)
        {
            var read = RandomAccess.Read(Open(chunk.Part), data[done..], chunk.Offset + done);
            if (read == 0)
                return false;
            done += read;
        }

        return WeightChunks.Checksum(data) == checksum;
    }

    private SafeFileHandle Open(int part) => _files[part] ??= OpenPart(_paths[part], _parts[part].Length);

    private static SafeFileHandle OpenPart(string path, long length)
    {
        var file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        try
        {
            // Never shorter: another process may have it mapped, and would end.
            if (RandomAccess.GetLength(file) > length)
                throw new IOException($"{path} has more than the {length} bytes that the coordinator's file has; delete its folder");
            if (RandomAccess.GetLength(file) < length)
                RandomAccess.SetLength(file, length);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }
}
