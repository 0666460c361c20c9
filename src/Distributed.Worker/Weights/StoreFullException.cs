namespace Distributed.Worker.Weights;

/// <summary>There is no room for weights: the store's own limit, or the disk's.</summary>
/// <param name="message">With what is needed, what there is, and what to do.</param>
/// <param name="roomWithoutModel">Bytes there would be room for if nothing of the same model were stored yet.</param>
public sealed class StoreFullException(string message, long roomWithoutModel) : Exception(message)
{
    /// <summary>Bytes there would be room for if nothing of the same model were stored yet.</summary>
    public long RoomWithoutModel { get; } = roomWithoutModel;
}
