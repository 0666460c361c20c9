using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>What stages of a model are and take under one config.</summary>
/// <param name="model">The model's shape.</param>
/// <param name="forecast">The memory of a stage, as <see cref="Planner"/> takes it.</param>
/// <param name="config">Context, sequences, formats.</param>
internal sealed class StageSizes(ModelConfig model, Func<StageSpec, StageMemory> forecast, ClusterConfig config)
{
    private readonly Dictionary<(int, int), StageMemory> _known = [];

    /// <summary>The longest sequence, in tokens.</summary>
    public int Context { get; } = config.ContextFor(model);

    /// <summary>Keys that a token sees when a plan is made: half the context, as answers grow from nothing to all of it.</summary>
    public double PlannedKeys => Context / 2.0;

    /// <summary>The stage of layers [first, end).</summary>
    public StageSpec Spec(int first, int end) => new(
        first, end, first == 0, end == model.NumLayers, config.MaxBatchTokens, config.KvType,
        checked(config.Sequences * StageSpec.BlocksFor(Context)));

    /// <summary>The stage of units [first, end): the embedding is unit 0, layer n is unit n + 1, the head the last.</summary>
    public StageSpec UnitSpec(int first, int end)
    {
        var layers = StageUnits.Layers(first, end, model.NumLayers);
        return Spec(layers.First, layers.End) with { HasEmbedding = first == 0, HasHead = end == model.NumLayers + 2 };
    }

    /// <summary>What the stage of units [first, end) takes.</summary>
    public StageMemory UnitMemory(int first, int end)
    {
        if (!_known.TryGetValue((first, end), out var memory))
            _known[(first, end)] = memory = forecast(UnitSpec(first, end));
        return memory;
    }

    /// <summary>What the stage of layers [first, end) takes.</summary>
    public StageMemory Memory(int first, int end) => forecast(Spec(first, end));

    /// <summary>The automatic split; null where none fits.</summary>
    public IReadOnlyList<LayerShare>? Fill(IReadOnlyList<DeviceRoom> devices) =>
        FillByMemory.Split(model.NumLayers, [.. devices.Select(device => device.Free)], (first, end) => Memory(first, end).Total);

    /// <summary>Whether the stages of one device fit it together.</summary>
    public bool Fits(DeviceRoom device, IEnumerable<LayerShare> shares) => Total(shares) <= device.Free;

    /// <summary>What stages take together, in bytes.</summary>
    public long Total(IEnumerable<LayerShare> shares) => shares.Sum(share => Memory(share.First, share.End).Total);
}
