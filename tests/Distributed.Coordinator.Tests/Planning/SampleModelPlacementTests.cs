using Distributed.Cluster.Config;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Distributed.Testing;

namespace Distributed.Coordinator.Tests.Planning;

public class SampleModelPlacementTests
{
    [Fact]
    public void The_sample_model_is_split_over_the_three_workers_of_the_local_cluster()
    {
        var config = ClusterFile.Load(Repository.Path("cluster/local.yaml"));
        using var model = ModelFile.Open(config.Model);
        var placement = Planner(model).Plan(config, Described(config, 64));

        Assert.Equal(["one", "two", "three"], placement.Stages.Select(stage => stage.Worker));
        Assert.Equal([2, 3, 3], placement.Stages.Select(stage => stage.Spec.NumLayers).Order());
        Assert.Equal(512, placement.Context);
        // Four sequences of 512 tokens: 16 blocks each.
        Assert.All(placement.Stages, stage => Assert.Equal(64, stage.Spec.KvBlocks));
        // Keys and values of 4 heads of 32 values, two bytes each, for 4 × 512 tokens and 8 layers.
        Assert.Equal(2L * 4 * 32 * 2 * 4 * 512 * 8, placement.Stages.Sum(stage => stage.Memory.KvCache));
        // Every tensor lies on one stage, the tied embedding on the first and on the last.
        Assert.Equal(
            model.Tensors.Values.Sum(tensor => tensor.Bytes) + model.OutputMatrix.Bytes,
            placement.Stages.Sum(stage => stage.Memory.Weights + stage.Memory.LmHead));
    }

    [Fact]
    public void The_explicit_cluster_is_placed_as_it_says()
    {
        var config = ClusterFile.Load(Repository.Path("cluster/explicit-layers.yaml"));
        using var model = ModelFile.Open(config.Model);
        var placement = Planner(model).Plan(config, Described(config, 64));
        var stages = placement.Stages.Select(stage => (stage.Worker, stage.Spec.FirstLayer, stage.Spec.EndLayer));
        Assert.Equal([("one", 0, 5), ("two", 5, 8)], stages);
    }

    [Fact]
    public void Too_little_memory_for_the_sample_model_is_refused_before_anything_loads()
    {
        var config = ClusterFile.Load(Repository.Path("cluster/local.yaml"));
        using var model = ModelFile.Open(config.Model);
        var refusal = Assert.Throws<InvalidInputException>(() => Planner(model).Plan(config, Described(config, 6)));
        Assert.Matches(@"local\.yaml:\d+: split is auto: .* needs [\d.]+ MiB in one stage .* free are 6 MiB on one/cpu, ", refusal.Message);
        Assert.Matches(@"; what would fit: a context of \d+, or ", refusal.Message);
    }

    private static Planner Planner(ModelFile model) => new(model.Config, spec => StageMemoryForecast.Forecast(model, spec));

    private static Dictionary<string, Cluster.Protocol.WorkerDescription> Described(ClusterConfig config, long freeMiB) =>
        config.Workers.ToDictionary(worker => worker.Name, _ => SyntheticModel.DescribeWorker(("cpu", freeMiB)));
}
