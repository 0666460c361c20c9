namespace Distributed.Worker.Weights;

/// <summary>There is no room for weights: the store's own limit, or the disk's.</summary>
/// <param name="message">With what is needed, what there is, and what to do.</param>
public sealed class StoreFullException(string message) : Exception(message);
