using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>
/// Decides which stage gets which layers. An automatic split goes by memory alone: see <see cref="FillByMemory"/>. An explicit
/// one is obeyed, or refused with the reason.
/// </summary>
/// <param name="model">The model's shape.</param>
/// <param name="forecast">The memory of a stage (<see cref="StageMemoryForecast"/>); never less for more layers, blocks or tokens.</param>
public sealed class Planner(ModelConfig model, Func<StageSpec, StageMemory> forecast)
{
    /// <summary>Places the model on a cluster.</summary>
    /// <param name="config">The cluster; valid by itself (<see cref="ClusterValidator.Check(ClusterConfig)"/>).</param>
    /// <param name="workers">
    /// What the workers say of themselves, by the name that <paramref name="config"/> gives them. An automatic split leaves out
    /// a worker that is not here.
    /// </param>
    /// <exception cref="InvalidInputException">
    /// The config does not suit the model or the workers, or the model does not fit: with what is needed, what is free, and what would fit.
    /// </exception>
    public Placement Plan(ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers)
    {
        List<InputError> errors = [.. ClusterValidator.Check(config, model)];
        var devices = DeviceRoom.Of(config, workers, errors);
        IReadOnlyList<LayerShare>? shares = null;
        if (config.Split is not null)
            shares = ExplicitShares(config, config.Split, devices, workers, errors);
        else if (devices.Count == 0 && errors.Count == 0)
            errors.Add(config.Error("workers", null, "none has answered with a device to use"));
        ThrowIfAny(errors);

        var sizes = new StageSizes(model, forecast, config);
        var refusal = new Refusal(model, forecast, config, devices);
        if (shares is null)
            shares = sizes.Fill(devices) ?? throw new InvalidInputException([refusal.OfAutomaticSplit()]);
        else
            ThrowIfAny(refusal.OfExplicitSplit(shares));

        var unused = devices.Where((_, index) => !shares.Any(share => share.Device == index)).Select(device =>
            new UnusedDevice(device.Worker.Name, device.Device, WhyUnused(config, sizes, device, devices.Count, shares.Count)));
        var silent = config.Workers.Where(worker => !devices.Any(device => device.Worker == worker))
            .Select(worker => new UnusedDevice(worker.Name, null, "has not answered with a device to use"));
        return new Placement(Stages(config, sizes, devices, shares), sizes.Context, [.. unused, .. silent]);
    }

    private static List<StagePlacement> Stages(
        ClusterConfig config, StageSizes sizes, IReadOnlyList<DeviceRoom> devices, IReadOnlyList<LayerShare> shares)
    {
        var free = devices.Select(device => device.Free).ToArray();
        List<StagePlacement> stages = [];
        foreach (var (index, first, end) in shares)
        {
            var (worker, device, _) = devices[index];
            var memory = sizes.Memory(first, end);
            var path = worker.Model ?? config.Model;
            stages.Add(new StagePlacement(
                stages.Count, worker.Name, worker.Address, device, path, sizes.Spec(first, end), memory, free[index]));
            free[index] -= memory.Total;
        }

        return stages;
    }

    private string WhyUnused(ClusterConfig config, StageSizes sizes, DeviceRoom device, int numDevices, int numStages)
    {
        if (config.Split is not null)
            return "the split does not name it";
        var least = Enumerable.Range(0, model.NumLayers).Min(layer => sizes.Memory(layer, layer + 1).Total);
        return least > device.Free ? $"{ByteSize.Format(device.Free)} are free, and one layer needs {ByteSize.Format(least)}"
            : numStages == model.NumLayers ? $"there are {numDevices} devices for {model.NumLayers} layers"
            : "no split that uses it, in the order of the workers, fits every device";
    }

    private static List<LayerShare> ExplicitShares(
        ClusterConfig config, IReadOnlyList<SplitConfig> split, IReadOnlyList<DeviceRoom> devices,
        IReadOnlyDictionary<string, WorkerDescription> workers, List<InputError> errors)
    {
        List<LayerShare> shares = [];
        foreach (var (i, stage) in split.Index().OrderBy(pair => pair.Item.Layers.First))
        {
            var offered = devices.Index().Where(pair => pair.Item.Worker.Name == stage.Worker).ToList();
            var chosen = offered.Where(pair => stage.Device is null || pair.Item.Device == stage.Device).ToList();
            var names = offered.Count > 0 ? string.Join(", ", offered.Select(pair => pair.Item.Device)) : "none";
            if (!workers.ContainsKey(stage.Worker))
                errors.Add(config.Error($"split[{i}].worker", stage.Worker, "has not answered"));
            else if (chosen.Count == 1)
                shares.Add(new LayerShare(chosen[0].Index, stage.Layers.First, stage.Layers.End));
            else if (stage.Device is null)
                errors.Add(config.Error($"split[{i}].device", null, $"is missing: {stage.Worker} has {names}"));
            else
                errors.Add(config.Error($"split[{i}].device", stage.Device, $"is no device of {stage.Worker}, which has {names}"));
        }

        return shares;
    }

    private static void ThrowIfAny(List<InputError> errors)
    {
        if (errors.Count > 0)
            throw new InvalidInputException(errors);
    }
}
