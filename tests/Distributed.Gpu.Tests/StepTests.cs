using Distributed.Core;
using Distributed.Testing;

namespace Distributed.Gpu.Tests;

/// <summary>What a stage's step asks of the device besides results.</summary>
public abstract class StepTests
{
    protected abstract GpuBackend CreateBackend();

    [Theory]
    [InlineData("llama")]
    [InlineData("qwen3moe")]
    [InlineData("gpt-oss")]
    public void A_step_waits_for_the_device_once(string name)
    {
        var golden = GoldenModel.Read(Golden.Path($"architectures/{name}.json"));
        var backend = CreateBackend();
        using var runner = new StageRunner(golden.Path, KvType.F16, [backend]);
        runner.Run((1, 0, golden.Prompts[0].Ids));
        for (var step = 0; step < 3; step++)
        {
            var before = backend.Waits;
            runner.Run((1, golden.Prompts[0].Ids.Length + step, [5]));
            Assert.Equal(before + 1, backend.Waits);
        }
    }
}
