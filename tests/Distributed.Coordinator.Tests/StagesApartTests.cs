using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using Distributed.Testing;

namespace Distributed.Coordinator.Tests;

/// <summary>Embedding and LM head on workers of their own, apart from all layers.</summary>
public sealed class StagesApartTests
{
    [Fact]
    public async Task Logits_are_the_same_wherever_embedding_and_head_lie()
    {
        await using var workers = await LocalWorkers.StartAsync(3, 1, RunningCluster.WorkerMemory, RunningCluster.Program, default);
        using var model = ModelFile.Open(Repository.SampleModel);
        var config = RunningCluster.Config(workers);
        var even = await ClusterPlan.MakeAsync(model, config, default);
        var layers = model.Config.NumLayers;
        var apart = even with
        {
            Stages =
            [
                Stage(0, 0, 0) with { Spec = even.Stages[0].Spec with { FirstLayer = 0, EndLayer = 0 } },
                Stage(1, 0, layers),
                Stage(2, layers, layers),
            ],
        };

        var expected = await LogitsAsync(model, config, even);
        Assert.Equal(expected, await LogitsAsync(model, config, apart));
        Assert.Equal(3 * model.Config.VocabSize * sizeof(float), expected.Length);

        StagePlacement Stage(int index, int first, int end) =>
            even.Stages[index] with { Spec = even.Stages[index].Spec with { FirstLayer = first, EndLayer = end } };
    }

    private static async Task<byte[]> LogitsAsync(ModelFile model, Cluster.Config.ClusterConfig config, Placement placement)
    {
        await using var pipeline = await Pipeline.StartAsync(model, config, placement, epoch: 1, progress: null, default);
        var result = await pipeline.RunAsync([new Slice { Sequence = 1, Count = 3, AllLogits = true }], [5, 6, 7], default);
        return result.Logits.ToByteArray();
    }
}
