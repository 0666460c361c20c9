using Distributed.Testing;

namespace Distributed.Core.Tests;

public class ModelFileTests
{
    [Theory]
    [InlineData("llama", 10_000f, 1f, false)]
    [InlineData("llama-linear", 10_000f, 4f, false)]
    [InlineData("llama31-tied", 500_000f, 1f, true)]
    public void A_llama_file_gives_its_config(string name, float theta, float factor, bool isTied)
    {
        using var model = ModelFile.Open(Golden.Path($"architectures/{name}.gguf"));

        var config = model.Config;
        Assert.Equal("llama", config.Architecture);
        Assert.Equal("golden", config.Name);
        Assert.Equal((3, 64, 96, 4, 2, 16), (config.NumLayers, config.HiddenSize, config.IntermediateSize, config.NumHeads, config.NumKvHeads, config.HeadDim));
        Assert.Equal((320, 512), (config.VocabSize, config.ContextLength));
        Assert.Equal(1e-5f, config.RmsNormEps);
        Assert.Equal(new RopeConfig(theta, 16, RopePairs.Neighbours, factor), config.Rope);
        Assert.Equal(isTied ? "token_embd.weight" : "output.weight", model.OutputMatrix.Name);
    }
}
