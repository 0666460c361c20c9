using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;

namespace Distributed.Cluster;

/// <summary>
/// A bounded queue into a thread of its own. Whoever adds waits without a thread; the receiving thread waits by itself and is
/// woken directly, since each hand-over between threads costs a token tens of microseconds.
/// </summary>
/// <typeparam name="T">What is handed over.</typeparam>
/// <param name="length">The most items that wait.</param>
public sealed class ThreadInbox<T>(int length)
    where T : class
{
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);

    private readonly Channel<T> _items = Channel.CreateBounded<T>(length);
    private readonly object _added = new();
    private bool _closed;

    /// <summary>Adds an item; waits while there is no room.</summary>
    /// <exception cref="ChannelClosedException">The inbox is closed.</exception>
    public async ValueTask AddAsync(T item, CancellationToken cancellation)
    {
        await _items.Writer.WriteAsync(item, cancellation);
        lock (_added)
        {
            Monitor.Pulse(_added);
        }
    }

    /// <summary>The next item, waiting for it; false once the inbox is closed, whatever it holds.</summary>
    public bool TryTake([MaybeNullWhen(false)] out T item)
    {
        lock (_added)
        {
            while (!_closed)
            {
                if (_items.Reader.TryRead(out item))
                    return true;
                Monitor.Wait(_added, LongestWait);
            }

            item = default;
            return false;
        }
    }

    /// <summary>Refuses what comes, and wakes whoever waits.</summary>
    public void Close()
    {
        _items.Writer.TryComplete();
        lock (_added)
        {
            _closed = true;
            Monitor.PulseAll(_added);
        }
    }
}
