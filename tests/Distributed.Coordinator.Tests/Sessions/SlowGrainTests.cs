using Distributed.Grains;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;

namespace Distributed.Coordinator.Tests.Sessions;

public sealed class SlowGrainTests
{
    [Fact]
    public async Task Decode_goes_on_while_no_grain_answers_and_the_record_is_complete_once_they_do()
    {
        var storage = new GatedStorage();
        await using var cluster = await RunningCluster.StartAsync(
            storage: silo => silo.ConfigureServices(services => services.AddKeyedSingleton<IGrainStorage>(GrainStorage.Name, storage)));
        var gate = new TaskCompletionSource();
        storage.Gate = gate.Task;
        var request = cluster.Ask(RunningCluster.Story) with { MaxTokens = 100, IgnoreEnd = true, Session = "slow" };

        var writes = storage.Writes;
        var ids = await cluster.IdsAsync(request);
        var again = await cluster.IdsAsync(request with { Tokens = [.. request.Tokens, .. ids], MaxTokens = 10 });

        Assert.Equal(100, ids.Length);
        // Not one write has come through meanwhile. A loop that waited for each token's would have run out of patience.
        Assert.Equal(writes, storage.Writes);
        storage.Gate = null;
        gate.SetResult();
        var record = await cluster.RecordAsync("slow");
        Assert.Equal([.. request.Tokens, .. ids, .. again], record.Tokens.AsEnumerable());
    }
}
