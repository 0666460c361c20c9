using System.Globalization;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Coordinator.Planning;

/// <summary>
/// Decides which stage gets which layers. An automatic split takes the plan of the fewest ms per token, on as many devices as that
/// needs: see <see cref="PlacementSearch"/>. Where devices have no profiles, and for a split over all of them, it goes by memory
/// alone: see <see cref="FillByMemory"/>. An explicit one is obeyed, or refused with the reason.
/// </summary>
/// <param name="model">The model's shape.</param>
/// <param name="forecast">The memory of a stage (<see cref="StageMemoryForecast"/>); never less for more layers, blocks or tokens.</param>
/// <param name="units">What the model multiplies with; null where nothing is to be predicted.</param>
/// <param name="links">The cluster's links; null where none was measured.</param>
/// <param name="unprofiled">Why workers have no profiles, by their names; null where nothing is known of that.</param>
public sealed class Planner(
    ModelConfig model, Func<StageSpec, StageMemory> forecast, ModelUnits? units = null, LinkTable? links = null,
    IReadOnlyDictionary<string, string>? unprofiled = null)
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
        var reasons = new Dictionary<int, string>();
        var choice = PlanChoice.Given;
        if (shares is null)
        {
            ThrowIfAny(CheckPins(config, devices, workers));
            (shares, choice) = AutomaticShares(config, sizes, devices, refusal, reasons);
        }
        else
        {
            ThrowIfAny(refusal.OfExplicitSplit(shares));
            shares = StageUnits.Of(shares, model.NumLayers);
        }

        var unused = devices.Index().Where(pair => !shares.Any(share => share.Device == pair.Index)).Select(pair =>
            new UnusedDevice(
                pair.Item.Worker.Name,
                pair.Item.Device,
                reasons.GetValueOrDefault(pair.Index) ?? WhyUnused(config, sizes, pair.Item, devices.Count, shares.Count)));
        var costs = Costs(config, devices, shares);
        var unpredicted = costs is null && choice.Note is null && WhyUnmeasured(config, [.. shares.Select(share => devices[share.Device])]) is { } why
            ? $"nothing is predicted: {why}"
            : null;
        string?[] notes = [choice.Note, unpredicted, links?.DescribeFailed()];
        return new Placement(Stages(config, sizes, devices, shares), sizes.Context, [.. unused, .. DeviceRoom.Missing(config, workers)])
        {
            Costs = costs,
            Links = links ?? new LinkTable(),
            Choice = notes.Any(note => note is not null) ? choice with { Note = string.Join("; ", notes.OfType<string>()) } : choice,
        };
    }

    /// <summary>A placement made before, as it would be made now: with its forecasts and predictions.</summary>
    /// <param name="config">The cluster.</param>
    /// <param name="workers">What the workers say of themselves, without what the placement's own stages take.</param>
    /// <param name="stages">Worker, device and layers of each stage, in order.</param>
    /// <returns>The placement; null where one of its devices is not there, or has too little memory.</returns>
    /// <exception cref="InvalidInputException">The config does not suit the model or the workers.</exception>
    internal Placement? Recall(
        ClusterConfig config, IReadOnlyDictionary<string, WorkerDescription> workers,
        IReadOnlyList<(string Worker, string Device, int FirstLayer, int EndLayer)> stages)
    {
        List<InputError> errors = [.. ClusterValidator.Check(config, model)];
        var devices = DeviceRoom.Of(config, workers, errors);
        ThrowIfAny(errors);
        var layers = stages.Select(stage => new LayerShare(
            devices.ToList().FindIndex(device => device.Worker.Name == stage.Worker && device.Device == stage.Device),
            stage.FirstLayer, stage.EndLayer)).ToList();
        if (layers.Any(share => share.Device < 0))
            return null;
        var shares = StageUnits.Of(layers, model.NumLayers);
        var sizes = new StageSizes(model, forecast, config);
        var placed = Stages(config, sizes, devices, shares);
        return placed.Any(stage => stage.FreeAfter < 0) ? null : new Placement(placed, sizes.Context, [.. DeviceRoom.Missing(config, workers)])
        {
            Costs = Costs(config, devices, shares),
            Links = links ?? new LinkTable(),
            Choice = new PlanChoice("as it was before the coordinator was started again"),
        };
    }

    private (IReadOnlyList<LayerShare> Shares, PlanChoice Choice) AutomaticShares(
        ClusterConfig config, StageSizes sizes, IReadOnlyList<DeviceRoom> devices, Refusal refusal, Dictionary<int, string> reasons)
    {
        var filled = sizes.Fill(devices) is { } layers ? StageUnits.Of(layers, model.NumLayers) : null;
        if (config.SplitOverAll)
            return ByMemory(null);
        if (WhyUnmeasured(config, devices) is { } why)
            return ByMemory(why);
        if (devices.Count > PlacementSearch.MaxDevices)
            return ByMemory($"{devices.Count} devices are more than the {PlacementSearch.MaxDevices} that a search takes");

        var plan = new MeasuredPlan(model, units!, links ?? new LinkTable(), config, sizes, devices);
        var found = plan.Best(config.Pin.Count == 0 ? filled : null);
        if (found.Shares is null && links?.Failed.Count > 0 && filled is not null)
            return ByMemory("no split was found over the links that have times");
        if (found.Shares is not { } shares)
            throw new InvalidInputException([filled is null ? refusal.OfAutomaticSplit() : refusal.OfPins()]);
        var nextBest = plan.Explain(shares, reasons);
        var note = found.IsExact ? null : string.Create(
            CultureInfo.InvariantCulture,
            $"the search was cut short: no plan is more than {100 * (1 - (found.Bound / found.Cost)):0} % quicker than this one");
        var rule = config.PlanFor == 1 ? "fewest ms per token for 1 sequence" : $"fewest ms per token for {config.PlanFor} sequences at once";
        return (shares, new PlanChoice(rule, nextBest, note));

        (IReadOnlyList<LayerShare>, PlanChoice) ByMemory(string? why)
        {
            if (config.Pin.Count > 0)
                throw new InvalidInputException([refusal.OfPinsByMemory(string.Join("; ", new[] { why, links?.DescribeFailed() }.OfType<string>()))]);
            return filled is null ? throw new InvalidInputException([refusal.OfAutomaticSplit()])
                : (filled, PlanChoice.ByMemory with { Note = why is null ? null : $"memory alone decides: {why}" });
        }
    }

    // Null where each has a profile with all that the model needs.
    private string? WhyUnmeasured(ClusterConfig config, IReadOnlyList<DeviceRoom> devices)
    {
        if (units is null)
            return "nothing is known of the model's weights";
        var unknown = devices.Where(device => !DeviceCosts.Knows(device.Profile, units, config.KvType)).Distinct().Select(device =>
            $"{device} {unprofiled?.GetValueOrDefault(device.Worker.Name) switch
            {
                { } reason => $"has no profile ({reason})",
                null when device.Profile is null => "has no profile",
                _ => $"has a profile without {string.Join(", ", units.Types)} or {config.KvType.ToName()}",
            }}").ToList();
        return unknown.Count > 0 ? string.Join(", ", unknown) : null;
    }

    private static List<InputError> CheckPins(
        ClusterConfig config, IReadOnlyList<DeviceRoom> devices, IReadOnlyDictionary<string, WorkerDescription> workers)
    {
        List<InputError> errors = [];
        foreach (var (i, pin) in config.Pin.Index())
        {
            var offered = devices.Where(device => device.Worker.Name == pin.Worker).Select(device => device.Device).ToList();
            var names = offered.Count > 0 ? string.Join(", ", offered) : "none";
            if (offered.Count == 0)
                errors.Add(config.Error($"pin[{i}].worker", pin.Worker, DeviceRoom.WhyNone(config, pin.Worker, workers)));
            else if (pin.Device is null && offered.Count > 1)
                errors.Add(config.Error($"pin[{i}].device", null, $"is missing: {pin.Worker} has {names}"));
            else if (pin.Device is { } device && !offered.Contains(device))
                errors.Add(config.Error($"pin[{i}].device", device, $"is no device of {pin.Worker}, which has {names}"));
        }

        return errors;
    }

    private PlacementCosts? Costs(ClusterConfig config, IReadOnlyList<DeviceRoom> devices, IReadOnlyList<LayerShare> shares)
    {
        if (units is null || shares.Any(share => !DeviceCosts.Knows(devices[share.Device].Profile, units, config.KvType)))
            return null;
        string[] way = [LinkTable.Coordinator, .. shares.Select(share => devices[share.Device].Worker.Name), LinkTable.Coordinator];
        if (way.Zip(way.Skip(1)).Any(hop => links?.Failed.ContainsKey(hop) == true))
            return null;
        var stages = shares.Select(share =>
        {
            var device = devices[share.Device];
            var costs = new DeviceCosts(model, units, device.Profile!, config.KvType);
            return new CostedStage(costs, share.First, share.End, device.Worker.Name, device.Machine, device.Cores);
        });
        return new PlacementCosts(model, [.. stages], links ?? new LinkTable(), config);
    }

    private static List<StagePlacement> Stages(
        ClusterConfig config, StageSizes sizes, IReadOnlyList<DeviceRoom> devices, IReadOnlyList<LayerShare> shares)
    {
        var free = devices.Select(device => device.Free).ToArray();
        List<StagePlacement> stages = [];
        foreach (var (index, first, end) in shares)
        {
            var (worker, device, _) = devices[index];
            var memory = sizes.UnitMemory(first, end);
            var path = worker.Model ?? config.Model;
            stages.Add(new StagePlacement(
                stages.Count, worker.Name, worker.Address, device, path, sizes.UnitSpec(first, end), memory, free[index]));
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
            if (offered.Count == 0)
                errors.Add(config.Error($"split[{i}].worker", stage.Worker, DeviceRoom.WhyNone(config, stage.Worker, workers)));
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
