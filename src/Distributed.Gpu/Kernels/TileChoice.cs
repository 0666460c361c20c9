using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>Which inputs a tile has.</summary>
/// <param name="Expert">The expert whose matrix they are multiplied with; 0 where there are none, −1 for a tile without inputs.</param>
/// <param name="First">The first one, in the order of the choices.</param>
/// <param name="Count">How many.</param>
public readonly record struct TileChoice(int Expert, int First, int Count)
{
    /// <summary>The inputs of a tile.</summary>
    /// <param name="tile">Its number.</param>
    /// <param name="size">The most inputs of a tile.</param>
    /// <param name="tokens">All inputs.</param>
    /// <param name="tiles">Of experts: of each tile the expert, the first choice, how many; empty for none.</param>
    public static TileChoice Of(int tile, int size, int tokens, ArrayView<int> tiles) => tiles.Length == 0
        ? new(0, tile * size, Math.Min(size, tokens - (tile * size)))
        : new(tiles[3 * tile], tiles[(3 * tile) + 1], tiles[(3 * tile) + 2]);

    /// <summary>The choice in a place of the tile, one there is.</summary>
    /// <param name="place">Its place; those behind the last stand for it.</param>
    /// <param name="order">Of experts: all choices, expert by expert; empty for none.</param>
    public int Choice(int place, ArrayView<int> order)
    {
        var at = First + Math.Min(place, Count - 1);
        return order.Length == 0 ? at : order[at];
    }
}
