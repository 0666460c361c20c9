using Distributed.Cluster.Config;

namespace Distributed.Cluster.Tests.Config;

/// <summary>The keys that limit an automatic split.</summary>
public class PlacementKeysTests
{
    [Fact]
    public void Pins_exclusions_and_the_kind_of_split_reach_their_properties()
    {
        var config = Parse("""
            split: auto
            plan-for: 2
            pin:
              - { worker: a, device: cuda:0, layers: 0-9 }
              - { worker: b, layers: 12 }
            exclude: [c, b/cuda:1]
            """);

        Assert.Equal((null, false, 2), (config.Split, config.SplitOverAll, config.PlanFor));
        Assert.Equal(new SplitConfig { Worker = "a", Device = "cuda:0", Layers = new LayerRange(0, 9) }, config.Pin[0]);
        Assert.Equal(new SplitConfig { Worker = "b", Layers = new LayerRange(12, 12) }, config.Pin[1]);
        Assert.Equal([true, true, false, true], new[] { ("c", "cpu"), ("b", "cuda:1"), ("b", "cpu"), ("c", "cuda:0") }
            .Select(device => config.Excludes(device.Item1, device.Item2)));

        config = Parse("split: all");
        Assert.Equal((null, true, 1), (config.Split, config.SplitOverAll, config.PlanFor));
        Assert.Empty(config.Pin);
        Assert.Empty(config.Exclude);
    }

    [Fact]
    public void What_cannot_be_obeyed_is_refused_where_it_was_written() => Assert.Equal(
        """
        c.yaml:7: pin[0].worker is d: is no worker of this cluster: did you mean a?
        c.yaml:9: pin[2].layers is 3-5: overlaps another pin in layer 3
        c.yaml:9: pin[2].worker is c: is excluded by exclude
        c.yaml:10: exclude[1] is e: is no worker of this cluster: did you mean a?
        c.yaml:10: exclude[2] is b/tpu: must be cpu, cuda:N, opencl:N or ilgpu-cpu
        c.yaml:11: plan-for is 9: must lie between 1 and 4
        """,
        Errors("""
            pin:
              - { worker: d, layers: 0-1 }
              - { worker: b, layers: 2-3 }
              - { worker: c, layers: 3-5 }
            exclude: [c, e, b/tpu]
            plan-for: 9
            """));

    [Theory]
    [InlineData("split: all\npin: [{ worker: a, layers: 0 }]", "c.yaml:7: pin is 0 on a: needs split: auto, which it limits")]
    [InlineData("exclude: [a, b, c]", "c.yaml:6: exclude is a, b, c: leaves no worker")]
    [InlineData("split: [{ worker: a, layers: 0-3 }]\nexclude: [a]", "c.yaml:6: split[0].worker is a: is excluded by exclude")]
    [InlineData("exclude: a", "c.yaml:6: exclude is a: must be a list of workers, or of WORKER/DEVICE")]
    public void Contradictions_are_refused(string yaml, string error) => Assert.Equal(error, Errors(yaml));

    private static ClusterConfig Parse(string rest) => ClusterFile.Parse(
        "model: m.gguf\nworkers:\n  - { name: a, address: '127.0.0.1:1' }\n  - { name: b, address: '127.0.0.1:2' }\n  - { name: c, address: '127.0.0.1:3' }\n" + rest,
        "c.yaml", "/");

    private static string Errors(string rest) => Assert.Throws<InvalidInputException>(() => Parse(rest)).Message;
}
