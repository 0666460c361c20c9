using Distributed.Cluster.Config;
using Distributed.Coordinator.Planning;
using Distributed.Core;
using static Distributed.Coordinator.Tests.Planning.SyntheticModel;

namespace Distributed.Coordinator.Tests.Planning;

public class PlannerTests
{
    // A layer takes 10 MiB and, at 4 sequences of 1024 tokens in f16, 8 MiB of keys and values; a stage 2 MiB more.
    private static readonly SyntheticModel Eight = new([10, 10, 10, 10, 10, 10, 10, 10], 4, 4);

    [Fact]
    public void Eight_layers_on_three_equal_workers_go_three_three_two()
    {
        var placement = Eight.Planner.Plan(ClusterOf(3), Describe(1000, 1000, 1000));
        Assert.Equal(["a/cpu 0-3", "b/cpu 3-6", "c/cpu 6-8"], Stages(placement));
        Assert.Equal(1024, placement.Context);
        Assert.Empty(placement.Unused);
        Assert.Equal(new StageSpec(0, 3, true, false, 256, KvType.F16, 4 * 32), placement.Stages[0].Spec);
        Assert.Equal(new StageSpec(3, 6, false, false, 256, KvType.F16, 4 * 32), placement.Stages[1].Spec);
        Assert.Equal(new StageSpec(6, 8, false, true, 256, KvType.F16, 4 * 32), placement.Stages[2].Spec);
        Assert.Equal([60, 56, 42], placement.Stages.Select(stage => stage.Memory.Total / MiB));
        Assert.Equal([940, 944, 958], placement.Stages.Select(stage => stage.FreeAfter / MiB));
        Assert.Equal("/models/synthetic.gguf", placement.Stages[2].ModelPath);
        Assert.Equal("127.0.0.1:7103", placement.Stages[2].Address.ToString());
    }

    [Fact]
    public void Layers_follow_free_memory() =>
        Assert.Equal(["a/cpu 0-1", "b/cpu 1-6", "c/cpu 6-8"], Stages(Eight.Planner.Plan(ClusterOf(3), Describe(200, 900, 400))));

    [Fact]
    public void Devices_of_one_worker_are_filled_in_the_order_of_the_cluster_file_and_within_its_limits()
    {
        var config = ClusterOf(2);
        var a = config.Workers[0] with
        {
            Devices = ["cuda:0", "cpu"],
            Memory = new Dictionary<string, long> { ["cpu"] = 60 * MiB },
            Model = "/data/m.gguf",
        };
        config = config with { Workers = [a, config.Workers[1]] };
        var workers = Describe(1000, 60);
        workers["a"] = DescribeWorker(("cpu", 1000), ("cuda:0", 180));
        var placement = Eight.Planner.Plan(config, workers);
        Assert.Equal(["a/cuda:0 0-5", "a/cpu 5-7", "b/cpu 7-8"], Stages(placement));
        Assert.Equal("/data/m.gguf", placement.Stages[0].ModelPath);
        // 3 MiB of the cpu are taken already.
        Assert.Equal(57 * MiB, placement.Stages[1].Free);
    }

    [Fact]
    public void What_is_left_out_is_said_with_the_reason()
    {
        var two = new SyntheticModel([10, 10], 4, 4);
        var placement = two.Planner.Plan(ClusterOf(3), Describe(100, 50, 100));
        Assert.Equal(["a/cpu 0-1", "c/cpu 1-2"], Stages(placement));
        Assert.Equal([new UnusedDevice("b", "cpu", "there are 3 devices for 2 layers")], placement.Unused);

        placement = Eight.Planner.Plan(ClusterOf(3), Describe(1000, 10, 1000));
        Assert.Equal(["a/cpu 0-4", "c/cpu 4-8"], Stages(placement));
        Assert.Equal([new UnusedDevice("b", "cpu", "10 MiB are free, and one layer needs 20 MiB")], placement.Unused);

        var workers = Describe(1000, 1000, 1000);
        workers.Remove("c");
        placement = Eight.Planner.Plan(ClusterOf(3), workers);
        Assert.Equal(["a/cpu 0-4", "b/cpu 4-8"], Stages(placement));
        Assert.Equal([new UnusedDevice("c", null, "has not answered")], placement.Unused);
    }

    [Fact]
    public void An_explicit_split_is_obeyed_in_the_order_of_its_layers()
    {
        var config = ClusterOf(2) with { Split = [Part("b", "5-7"), Part("a", "0-1"), Part("b", "2-4")] };
        var placement = Eight.Planner.Plan(config, Describe(1000, 1000));
        Assert.Equal(["a/cpu 0-2", "b/cpu 2-5", "b/cpu 5-8"], Stages(placement));
        Assert.Equal([1000, 1000, 944], placement.Stages.Select(stage => stage.Free / MiB));
    }

    [Fact]
    public void An_explicit_split_that_overfills_a_device_is_refused_with_what_would_fit()
    {
        var config = ClusterOf(2) with { Split = [Part("a", "0-5"), Part("b", "6-7")] };
        Assert.Equal(
            "split[0] is a/cpu: layers 0-5 need 114 MiB, 100 MiB are free, 14 MiB too few; 5 of these 6 layers would fit; "
            + "what would fit: a context of 512, or 2 sequences, or kv-type q8_0, or split: auto",
            Message(() => Eight.Planner.Plan(config, Describe(100, 100))));
    }

    [Fact]
    public void A_model_that_fits_nowhere_is_refused_with_what_would_fit() => Assert.Equal(
        "split is auto: synthetic needs 154 MiB in one stage (weights 88 MiB, KV cache 64 MiB for 4 × 1024 tokens, "
        + "activations and scratch 2 MiB); free are 60 MiB on a/cpu, 60 MiB on b/cpu; "
        + "what would fit: a context of 256, or 1 sequence, or another worker, last in the list, with 42 MiB free",
        Message(() => Eight.Planner.Plan(ClusterOf(2), Describe(60, 60))));

    [Fact]
    public void Layers_and_context_beyond_the_model_are_refused_where_they_were_written()
    {
        var config = ClusterFile.Parse("""
            model: m.gguf
            context: 9000
            workers:
              - { name: a, address: 127.0.0.1:7101 }
            split:
              - { worker: a, layers: 0-7 }
              - { worker: a, layers: 8 }
            """, "c.yaml", "/");
        Assert.Equal(
            "c.yaml:2: context is 9000: must be at most 8192, the context synthetic was trained for\n"
            + "c.yaml:7: split[1].layers is 8: must end at 7, the last of synthetic's 8 layers",
            Message(() => Eight.Planner.Plan(config, Describe(1000))));
        Assert.Equal(
            "split: leaves out layers 6-7 of synthetic's 8",
            Message(() => Eight.Planner.Plan(ClusterOf(1) with { Split = [Part("a", "0-5")] }, Describe(1000))));
    }

    [Fact]
    public void Devices_that_the_running_worker_does_not_have_are_refused()
    {
        var config = ClusterOf(3);
        var gpu = config.Workers[0] with { Devices = ["cpu", "cuda:1"] };
        config = config with
        {
            Workers = [gpu, config.Workers[1] with { Memory = new Dictionary<string, long> { ["cuda:0"] = MiB } }, config.Workers[2]],
            Split = [Part("a", "0-1"), Part("b", "2-3", "opencl:0"), Part("c", "4-7")],
        };
        var workers = Describe(1000, 1000);
        Assert.Equal(
            """
            workers[0].devices[1] is cuda:1: is not a device of the running worker, which has cpu
            workers[1].memory.cuda:0: is not a device of the running worker, which has cpu
            split[1].device is opencl:0: is no device of b, which has cpu
            split[2].worker is c: has not answered
            """,
            Message(() => Eight.Planner.Plan(config, workers)));
        Assert.Equal("workers: none has answered with a device to use", Message(() => Eight.Planner.Plan(ClusterOf(2), Describe())));
    }

    private static SplitConfig Part(string worker, string layers, string? device = null) =>
        LayerRange.TryParse(layers, out var range)
            ? new SplitConfig { Worker = worker, Device = device, Layers = range }
            : throw new FormatException(layers);

    private static IEnumerable<string> Stages(Placement placement) =>
        placement.Stages.Select(stage => $"{stage.Worker}/{stage.Device} {stage.Spec.FirstLayer}-{stage.Spec.EndLayer}");

    private static string Message(Func<Placement> plan) => Assert.Throws<InvalidInputException>(plan).Message;
}
