using Distributed.Cluster.Config;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>Says why a model does not fit: what is needed, what is free, and the nearest things that would fit.</summary>
/// <param name="model">The model's shape.</param>
/// <param name="forecast">The memory of a stage, as <see cref="Planner"/> takes it.</param>
/// <param name="config">The cluster.</param>
/// <param name="devices">Its devices.</param>
internal sealed class Refusal(
    ModelConfig model, Func<StageSpec, StageMemory> forecast, ClusterConfig config, IReadOnlyList<DeviceRoom> devices)
{
    private readonly StageSizes _sizes = new(model, forecast, config);

    /// <summary>No split fits.</summary>
    public InputError OfAutomaticSplit()
    {
        var whole = _sizes.Memory(0, model.NumLayers);
        var more = NearestFit.LeastBytes(
            whole.Total, bytes => _sizes.Fill([.. devices, new DeviceRoom(devices[0].Worker, "", bytes)]) is not null);
        var would = NearestFit.Find(config, model, changed => Sizes(changed).Fill(devices) is not null)
            .Append($"another worker, last in the list, with {ByteSize.Format(more)} free");
        return config.Error("split", "auto",
            $"{model.Name} needs {ByteSize.Format(whole.Total)} in one stage (weights {ByteSize.Format(whole.Weights + whole.LmHead)}, "
            + $"KV cache {ByteSize.Format(whole.KvCache)} for {config.Sequences} × {_sizes.Context} tokens, "
            + $"activations and scratch {ByteSize.Format(whole.Activations + whole.Scratch)}); "
            + $"free are {string.Join(", ", devices.Select(device => $"{ByteSize.Format(device.Free)} on {device}"))}; "
            + $"what would fit: {string.Join(", or ", would)}");
    }

    /// <summary>A split fits, but none with the pins.</summary>
    public InputError OfPins()
    {
        foreach (var (i, pin) in config.Pin.Index())
        {
            var device = devices[MeasuredPlan.PinnedDevice(devices, pin)];
            var needed = _sizes.Memory(pin.Layers.First, pin.Layers.End).Total;
            if (needed > device.Free)
            {
                return config.Error(
                    $"pin[{i}].layers", pin.Layers,
                    $"need {ByteSize.Format(needed)}, {ByteSize.Format(device.Free)} are free on {device}; "
                    + "what would fit: fewer pinned layers, or none");
            }
        }

        return config.Error(
            "pin", string.Join(", ", config.Pin),
            "leaves no split that fits: each device holds one run of layers, all pins of it within; without pins the model fits");
    }

    /// <summary>Pins cannot be obeyed by memory alone.</summary>
    /// <param name="why">Why speeds do not count.</param>
    public InputError OfPinsByMemory(string why) =>
        config.Error("pin", string.Join(", ", config.Pin), $"needs speeds to plan with: {why}; what would do without: split");

    /// <summary>The devices that an explicit split overfills, one error each; empty where it fits.</summary>
    public List<InputError> OfExplicitSplit(IReadOnlyList<LayerShare> shares)
    {
        var byDevice = shares.GroupBy(share => share.Device).ToList();
        var errors = byDevice.Where(group => !_sizes.Fits(devices[group.Key], group))
            .Select(group => Overfull(devices[group.Key], [.. group])).ToList();
        if (errors.Count == 0)
            return errors;
        var would = NearestFit.Find(config, model, changed => byDevice.All(group => Sizes(changed).Fits(devices[group.Key], group)))
            .Concat(_sizes.Fill(devices) is not null ? ["split: auto"] : []).ToList();
        if (would.Count > 0)
            errors[^1] = errors[^1] with { Rule = $"{errors[^1].Rule}; what would fit: {string.Join(", or ", would)}" };
        return errors;
    }

    private InputError Overfull(DeviceRoom device, IReadOnlyList<LayerShare> shares)
    {
        var needed = _sizes.Total(shares);
        var layers = string.Join(", ", shares.Select(share => new LayerRange(share.First, share.End - 1)));
        var rule = $"layers {layers} need {ByteSize.Format(needed)}, {ByteSize.Format(device.Free)} are free, "
            + $"{ByteSize.Format(needed - device.Free)} too few";
        if (shares is [var (_, first, end)])
        {
            // The last stage keeps the LM head, any other one its first layer.
            var most = NearestFit.Largest(end - first - 1, n =>
                (end == model.NumLayers ? _sizes.Memory(end - n, end) : _sizes.Memory(first, first + n)).Total <= device.Free);
            rule += $"; {(most > 0 ? $"{most}" : "none")} of these {end - first} layers would fit";
        }

        var entry = config.Split!.Index().First(pair => pair.Item.Layers.First == shares[0].First).Index;
        return config.Error($"split[{entry}]", device, rule);
    }

    private StageSizes Sizes(ClusterConfig changed) => new(model, forecast, changed);
}
