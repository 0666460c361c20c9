using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Testing;

namespace Distributed.Coordinator.Tests;

public sealed class ClusterPlanTests
{
    private static readonly WorkerConfig Absent = new() { Name = "absent", Address = NodeAddress.Parse("address", "unix:/no-such-socket") };

    [Fact]
    public async Task With_no_worker_that_answers_the_error_says_why()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        var config = new ClusterConfig { Model = Repository.SampleModel, Workers = [Absent], ConnectTimeout = TimeSpan.FromSeconds(1) };

        var error = await Assert.ThrowsAsync<StageFailureException>(() => ClusterPlan.MakeAsync(model, config, default));

        Assert.Equal(FailureCode.NextUnreachable, error.Failure.Code);
        Assert.Contains("absent (unix:/no-such-socket)", error.Message);
    }

    [Fact]
    public async Task A_worker_that_does_not_answer_is_left_out_of_an_automatic_split()
    {
        await using var workers = await LocalWorkers.StartAsync(1, 1, RunningCluster.WorkerMemory, RunningCluster.Program, default);
        using var model = ModelFile.Open(Repository.SampleModel);
        var config = RunningCluster.Config(workers);

        var placement = await ClusterPlan.MakeAsync(model, config with { Workers = [Absent, .. config.Workers] }, default);

        Assert.Equal("worker-0", Assert.Single(placement.Stages).Worker);
        Assert.Equal("absent", Assert.Single(placement.Unused).Worker);
    }

    [Fact]
    public async Task A_model_file_that_is_none_starts_nothing()
    {
        var config = new ClusterConfig { Model = Repository.Path("Distributed.sln"), Workers = [Absent] };

        await Assert.ThrowsAsync<InvalidInputException>(() => CoordinatorHost.StartAsync(config, null, null, default));
    }
}
