namespace Distributed.Coordinator.Planning;

/// <summary>Runs of units (embedding, layers, LM head) and runs of layers.</summary>
internal static class StageUnits
{
    /// <summary>Stages that are given by their layers alone, as units: the first has the embedding, the last the head.</summary>
    public static List<LayerShare> Of(IReadOnlyList<LayerShare> layers, int numLayers) =>
        [.. layers.Index().Select(pair => new LayerShare(
            pair.Item.Device,
            pair.Index == 0 ? 0 : pair.Item.First + 1,
            pair.Index == layers.Count - 1 ? numLayers + 2 : pair.Item.End + 1))];

    /// <summary>The layers of a run of units; as many as none for the embedding or the head alone.</summary>
    public static (int First, int End) Layers(int first, int end, int numLayers) =>
        (Math.Clamp(first - 1, 0, numLayers), Math.Clamp(end - 1, 0, numLayers));
}
