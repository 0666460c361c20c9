using Distributed.Testing;

namespace Distributed.Engine.Tests;

/// <summary>What is lost when the sample model is quantised: how far logits move, and how much worse a text is predicted.</summary>
public sealed class QuantizedTextTests : IDisposable
{
    private const string Tale =
        "Near the garden lived a gentle fox. His name was Zoe. Zoe loved the roses and wanted nothing more than a warm blanket. On the "
        + "way Zoe saw Theo the frog. \"Where are you going?\" asked Theo.";

    private readonly TempFolder _folder = new();

    [Fact]
    public void Fewer_bits_move_logits_farther_and_predict_the_text_all_but_as_well()
    {
        var single = Logits(Write(Repository.SampleModel, "F32"));
        var moved = new Dictionary<string, double>();
        foreach (var type in (string[])["F16", "BF16", "Q8_0", "Q6_K", "Q5_0", "Q4_K_M", "Q4_0"])
        {
            var logits = Logits(Write(_folder.Path("F32.gguf"), type));
            moved[type] = Math.Sqrt(logits.Zip(single, (a, b) => Math.Pow((double)a - b, 2)).Average());
            Assert.InRange(PerplexityOf(logits) / PerplexityOf(single), 0.98, 1.02);
        }

        AssertRising("F16", "BF16", "Q8_0", "Q5_0", "Q4_0");
        AssertRising("Q8_0", "Q6_K", "Q4_K_M", "Q4_0");
        Assert.InRange(moved["Q4_0"], 0.05, 0.5);

        void AssertRising(params string[] types)
        {
            foreach (var (better, worse) in types.Zip(types.Skip(1)))
                Assert.True(moved[better] * 1.2 < moved[worse], $"{better} {moved[better]}, {worse} {moved[worse]}");
        }
    }

    public void Dispose() => _folder.Dispose();

    private static double PerplexityOf(float[] logits)
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        var perplexity = new Perplexity();
        foreach (var (row, token) in model.Tokenizer.Encode(Tale).Skip(1).Index())
            perplexity.Add(Perplexity.NegativeLogLikelihood(logits.AsSpan(row * model.Config.VocabSize, model.Config.VocabSize), token));
        return perplexity.Value;
    }

    private static float[] Logits(string path)
    {
        using var runner = new StageRunner(path);
        using var model = ModelFile.Open(path);
        return runner.RunInChunks(model.Tokenizer.Encode(Tale), 64);
    }

    private string Write(string source, string type)
    {
        using var file = GgufFile.Open(source);
        using var model = ModelFile.Open(source);
        using var stream = File.Create(_folder.Path($"{type}.gguf"));
        new ModelQuantizer(model, file.Metadata, FileType.Find(type)!).Write(stream, 2, null, CancellationToken.None);
        return stream.Name;
    }
}
