using Distributed.Cluster.Config;
using Distributed.Testing;

namespace Distributed.Cluster.Tests.Config;

public class ClusterFilesInTheProjectTests
{
    public static TheoryData<string> Files =>
        [.. Directory.EnumerateFiles(Repository.Path("cluster")).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Files))]
    public void Every_file_is_valid_and_its_relative_model_is_there(string file)
    {
        var path = Repository.Path($"cluster/{file}");
        var config = ClusterFile.Load(path);
        Assert.NotEmpty(config.Workers);
        if (config.Model.StartsWith(Repository.Root, StringComparison.Ordinal))
            Assert.True(File.Exists(config.Model), config.Model);
    }

    [Fact]
    public void The_essential_takes_five_lines() => Assert.Equal(
        5, File.ReadLines(Repository.Path("cluster/two-machines.yaml")).Count(line => line.Length > 0 && line[0] != '#'));
}
