using Distributed.Worker.Weights;

namespace Distributed.Worker.Tests;

public class PendingSuppliesTests
{
    [Fact]
    public async Task Stream_of_another_epoch_is_refused_and_leaves_the_place_to_the_right_one()
    {
        var supplies = new PendingSupplies("w");
        var request = RunningWorker.WholeModel();
        var waiting = supplies.WaitAsync(request, default);
        var hello = new SupplyHello { Pipeline = request.Pipeline, Epoch = request.Epoch - 1, Stage = request.Stage, ModelHash = request.ModelHash };

        var refused = await Assert.ThrowsAsync<StageFailureException>(() => supplies.OfferAsync(hello, null!, null!, default));
        hello.Epoch = request.Epoch;
        var offered = supplies.OfferAsync(hello, null!, null!, default);
        (await waiting.WaitAsync(TimeSpan.FromSeconds(10))).Done.SetResult();
        await offered.WaitAsync(TimeSpan.FromSeconds(10));

        Assert.Equal(FailureCode.UnknownStage, refused.Failure.Code);
    }
}
