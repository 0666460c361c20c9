using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Testing;
using Distributed.Worker;
using Distributed.Worker.Profiling;

namespace Distributed.Coordinator.Tests.Planning;

/// <summary>Plans with a card in them, by what it was measured to do; <c>ilgpu-cpu</c>, which is slow, stands in its place.</summary>
public sealed class CardPlanTests(CardPlanTests.Measured measured) : IClassFixture<CardPlanTests.Measured>
{
    private const string Card = "ilgpu-cpu";
    private const string Cpu = "cpu";

    [Fact]
    public void A_card_slower_than_the_processor_is_left_out_where_the_model_fits_without_it()
    {
        var placement = Plan(cpuMiB: 64);

        Assert.Equal(Cpu, Assert.Single(placement.Stages).Device);
        Assert.Matches(@"with a/ilgpu-cpu: \+\d", placement.Choice.NextBest);
    }

    [Fact]
    public void A_card_takes_the_layers_that_the_processor_has_no_room_for_and_their_times_are_its_own()
    {
        var placement = Plan(cpuMiB: 5);

        Assert.Equal([Card, Cpu], placement.Stages.Select(stage => stage.Device).Order().Reverse());
        var step = placement.Costs!.Decode(64);
        var perLayer = placement.Stages.Zip(step.Stages).ToDictionary(pair => pair.First.Device, pair => pair.Second / pair.First.Spec.NumLayers);
        Assert.True(perLayer[Card] > perLayer[Cpu], $"{perLayer[Card]} ms a layer on the card, {perLayer[Cpu]} on the processor");
        // Between devices of one worker there is no socket.
        Assert.True(step.Hops[1] < step.Hops[0], $"{step.Hops[1]} ms within the worker, {step.Hops[0]} to it");
    }

    [Fact]
    public void A_split_that_is_prescribed_is_predicted_with_the_cards_own_times()
    {
        var half = Plan(64, (Card, 0, 3), (Cpu, 4, 7)).Costs!.Decode(64);
        var all = Plan(64, (Card, 0, 7)).Costs!.Decode(64);
        var none = Plan(64, (Cpu, 0, 7)).Costs!.Decode(64);

        Assert.InRange(half.TokenMs, none.TokenMs, all.TokenMs);
        Assert.InRange(half.Stages[0], all.Stages[0] * 0.2, all.Stages[0] * 0.8);
    }

    private Placement Plan(long cpuMiB, params (string Device, int First, int Last)[] split)
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        var worker = SyntheticModel.DescribeWorker((Card, 64), (Cpu, cpuMiB));
        foreach (var device in worker.Devices)
            device.Profile = measured.Profiles[device.Name];
        var links = new LinkTable();
        links[LinkTable.Coordinator, "a"] = links["a", LinkTable.Coordinator] = new LinkTimes(300e-6, 1e9);
        var cluster = SyntheticModel.ClusterOf(1);
        var config = cluster with
        {
            Model = Repository.SampleModel,
            Context = 128,
            Workers = [cluster.Workers[0] with { Devices = [Card, Cpu] }],
            Split = split.Length == 0 ? null
                : [.. split.Select(part => new SplitConfig { Worker = "a", Device = part.Device, Layers = new LayerRange(part.First, part.Last) })],
        };
        return new Planner(model.Config, spec => StageMemoryForecast.Forecast(model, spec), ModelUnits.Of(model), links)
            .Plan(config, new Dictionary<string, WorkerDescription> { ["a"] = worker });
    }

    /// <summary>Both devices, measured with little.</summary>
    public sealed class Measured
    {
        private static readonly ProbeSizes Tiny =
            new() { Width = 1024, MostBytes = 288 << 10, MostTokens = 8, MoreLayers = 2, ManyKeys = 256, Queries = 8 };

        public Dictionary<string, DeviceProfile> Profiles { get; } = [];

        public Measured()
        {
            foreach (var device in new DeviceInventory(new WorkerOptions { Name = "w", Threads = 1, Devices = [Card, Cpu] }).All)
            {
                var profile = new DeviceProfile { Device = device.Name };
                DeviceProbe.Complete(device, profile, [Q8_0.Type], [KvType.F16], Tiny, default);
                Profiles.Add(device.Name, profile);
            }
        }
    }
}
