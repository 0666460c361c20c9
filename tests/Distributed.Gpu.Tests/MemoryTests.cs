using Distributed.Core;
using Distributed.Engine;
using Distributed.Testing;

namespace Distributed.Gpu.Tests;

public abstract class MemoryTests
{
    protected abstract GpuBackend CreateBackend();

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt-oss")]
    [InlineData("llama31-tied")]
    public void A_stage_takes_its_memory_once_and_no_more_than_forecast(string name)
    {
        using var model = ModelFile.Open(Golden.Path($"architectures/{name}.gguf"));
        var spec = new StageSpec(0, model.Config.NumLayers, HasEmbedding: true, HasHead: true, 32, KvType.F16, KvBlocks: 8);
        using var backend = CreateBackend();
        using var stage = Stage.Load(model, backend, spec);

        var forecast = StageMemoryForecast.Forecast(model, spec);
        Assert.Equal(forecast, stage.Memory);
        Assert.Equal(1, backend.DeviceAllocations);
        // Each piece begins at a multiple of 256 bytes.
        Assert.InRange(backend.DeviceBytes, forecast.Total, forecast.Total + (256L * (model.Tensors.Count + 24)));
    }

    [Fact]
    public void More_than_the_device_has_is_refused_with_its_numbers()
    {
        using var backend = CreateBackend();

        // More than any address reaches.
        var error = Assert.Throws<DeviceFullException>(() => backend.Prepare(new StageMemory(1L << 60, 0, 0, 0, 0), 1));

        Assert.StartsWith($"{ByteSize.Format((1L << 60) + 256)} are to be loaded on {backend.Device}, of which ", error.Message);
        Assert.Equal(0, backend.DeviceAllocations);
    }
}
