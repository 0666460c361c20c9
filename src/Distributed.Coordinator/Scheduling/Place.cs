using Distributed.Coordinator.Sessions;

namespace Distributed.Coordinator.Scheduling;

/// <summary>A session's room in the KV cache, as <see cref="Admission"/> keeps account of it.</summary>
/// <param name="session">Whose it is.</param>
internal sealed class Place(Session session)
{
    /// <summary>Whose it is.</summary>
    public Session Session { get; } = session;

    /// <summary>Blocks set aside on every stage.</summary>
    public int Blocks { get; set; }

    /// <summary>A request uses it.</summary>
    public bool Running { get; set; }

    /// <summary>Its blocks are being released and cannot be used before that is done.</summary>
    public bool Releasing { get; set; }

    /// <summary>It is to be released when its request ends, whoever wanted it kept.</summary>
    public bool Ending { get; set; }

    /// <summary>Rises with every request that ends; the idle place with the lowest is the first to go.</summary>
    public long LastUsed { get; set; }

    /// <summary>Kept for a next request, and free to be taken by another one.</summary>
    public bool Idle => !Running && !Releasing;
}
