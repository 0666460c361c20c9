using System.Buffers;
using Microsoft.AspNetCore.Connections;

namespace Distributed.Cluster;

/// <summary>
/// Buffers for Kestrel's connections between nodes. Its own have 4 KiB, and so has every read of a socket: a chunk's hidden states
/// of some MiB would take a thousand of them, a token's three.
/// </summary>
public sealed class NodeMemory : IMemoryPoolFactory<byte>
{
    private const int BlockBytes = 128 << 10;

    /// <inheritdoc/>
    public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => new Pool();

    private sealed class Pool : MemoryPool<byte>
    {
        public override int MaxBufferSize => Array.MaxLength;

        public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => new Block(Math.Max(minBufferSize, BlockBytes));

        protected override void Dispose(bool disposing)
        {
            // The arrays are the shared pool's.
        }
    }

    private sealed class Block(int bytes) : IMemoryOwner<byte>
    {
        private byte[]? _array = ArrayPool<byte>.Shared.Rent(bytes);

        public Memory<byte> Memory => _array;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _array, null) is { } array)
                ArrayPool<byte>.Shared.Return(array);
        }
    }
}
