using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using Distributed.Core;
using Distributed.Core.Chat;
using Distributed.Core.Quantization;
using Distributed.Core.Synthetic;
using Distributed.Worker;

namespace Distributed.Cli.Lab;

/// <summary>What a check came to.</summary>
/// <param name="Check"><c>logits</c>, <c>bits</c>, <c>golden</c>, <c>greedy</c> or <c>memory</c>.</param>
/// <param name="Model">The model, or the format of its weights.</param>
/// <param name="Found">How far apart, in the check's own unit.</param>
/// <param name="Allowed">The most that passes.</param>
internal sealed record CheckRow(string Check, string Model, double Found, double Allowed)
{
    /// <summary>The heads of a table of rows.</summary>
    public static readonly string[] Heads = ["check", "model", "found", "allowed", "passed"];

    /// <summary>Whether it is near enough; what is no number is not.</summary>
    public bool Passed => Found <= Allowed;

    /// <summary>The values under <see cref="Heads"/>.</summary>
    [JsonIgnore]
    public object?[] Cells => [Check, Model, Found, Allowed, Passed];
}

/// <summary>Holds what a device computes against what this machine's processor does.</summary>
/// <param name="device">The device.</param>
/// <param name="processor">The processor.</param>
/// <param name="checkedRow">Told of each check as it is done.</param>
/// <param name="cancellation">Gives up between two steps.</param>
internal sealed class DeviceChecks(Device device, Device processor, Action<CheckRow> checkedRow, CancellationToken cancellation)
{
    // Both sides round activations to eight bits where their kernels for a format do, and need not alike.
    private const double RoundedTolerance = 0.05;
    private const double FloatTolerance = 0.001;

    // As the tests have it, in logits.
    private const double GoldenTolerance = 1e-4;
    private const int SequenceTokens = 37;
    private const int AnswerTokens = 40;

    /// <summary>
    /// Logits of a small model of random weights in a format: how far they are from the processor's (root mean square, relative), and
    /// how many differ in any bit between one batch and one token at a time.
    /// </summary>
    public void CheckFormat(QuantType type)
    {
        using var model = new ModelFile(new SyntheticModel(
            SyntheticPlan.Parse($"layers=2,hidden=256,ffn=512,heads=4,kv=2,vocab=300:{type.Name}", "type"), 1, cancellation));
        var random = new Random(1);
        int[] tokens = [.. Enumerable.Range(0, SequenceTokens).Select(_ => random.Next(model.Config.VocabSize))];
        var expected = Logits(processor, SequenceTokens);
        var together = Logits(device, SequenceTokens);
        var alone = Logits(device, 1);
        var error = Math.Sqrt(expected.Zip(together, (a, b) => Math.Pow((double)a - b, 2)).Sum() / expected.Sum(value => (double)value * value));
        checkedRow(new CheckRow("logits", type.Name, error, type.BlockLength == 1 ? FloatTolerance : RoundedTolerance));
        checkedRow(new CheckRow("bits", type.Name, together.Zip(alone).Count(pair => !pair.First.Equals(pair.Second)), 0));

        float[] Logits(Device on, int chunk)
        {
            using var loaded = new DeviceModel(model, on, KvType.F16, SequenceTokens);
            return loaded.Logits(tokens, chunk, cancellation);
        }
    }

    /// <summary>The files with reference logits in a folder: <c>*.json</c> that name a model, ids and logits.</summary>
    /// <param name="key">The flag that names the folder.</param>
    /// <param name="folder">The folder.</param>
    /// <exception cref="InvalidInputException">The folder has none.</exception>
    public static IReadOnlyList<string> GoldenIn(string key, string folder)
    {
        var files = Directory.Exists(folder) ? Directory.GetFiles(folder, "*.json").Order().ToList() : [];
        return files.Count > 0 ? files : throw new InvalidInputException(key, folder, "must be a folder with reference logits: *.json");
    }

    /// <summary>The largest difference from reference logits, for each model.</summary>
    /// <param name="key">The flag that names their folder.</param>
    /// <param name="files">The files, from <see cref="GoldenIn"/>.</param>
    /// <exception cref="InvalidInputException">One is damaged.</exception>
    public void CheckGolden(string key, IReadOnlyList<string> files)
    {
        foreach (var file in files)
        {
            try
            {
                using var json = JsonDocument.Parse(File.ReadAllText(file));
                var folder = Path.GetDirectoryName(file)!;
                using var model = ModelFile.Open(Path.Combine(folder, json.RootElement.GetProperty("model").GetString()!));
                var largest = 0.0;
                foreach (var prompt in json.RootElement.GetProperty("prompts").EnumerateArray())
                {
                    int[] ids = [.. prompt.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
                    var expected = MemoryMarshal.Cast<byte, float>(
                        File.ReadAllBytes(Path.Combine(folder, prompt.GetProperty("logits").GetString()!))).ToArray();
                    using var loaded = new DeviceModel(model, device, KvType.F32, ids.Length);
                    var actual = loaded.Logits(ids, Math.Max(1, ids.Length - 3), cancellation);
                    largest = expected.Length != actual.Length
                        ? double.NaN
                        : Math.Max(largest, expected.Zip(actual, (a, b) => Math.Abs((double)a - b)).Max());
                }
                checkedRow(new CheckRow("golden", Path.GetFileNameWithoutExtension(file), largest, GoldenTolerance));
            }
            catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or IOException)
            {
                throw new InvalidInputException(key, file, $"cannot be read: {error.Message}");
            }
        }
    }

    /// <summary>Answers of the sample model: how many of the likeliest tokens are not the processor's.</summary>
    /// <param name="count">Tokens in all.</param>
    public void CheckGreedy(int count)
    {
        using var model = ModelFile.Open(SampleModel.Path);
        using var cases = JsonDocument.Parse(File.ReadAllText(Path.Combine(Path.GetDirectoryName(SampleModel.Path)!, "expected.json")));
        var template = ChatTemplate.FromModel(model.Source);
        var prompts = cases.RootElement.GetProperty("cases").EnumerateArray().Select(known => model.Tokenizer.Encode(
            template.Render([new ChatMessage("user", known.GetProperty("prompt").GetString()!)]), special: true)).ToList();
        var context = prompts.Max(prompt => prompt.Length) + AnswerTokens;
        using var expected = new DeviceModel(model, processor, KvType.F16, context);
        using var actual = new DeviceModel(model, device, KvType.F16, context);
        var wrong = 0;
        var done = 0;
        // Prompts are asked again where more tokens are wanted than they give.
        for (var i = 0; done < count; i++)
        {
            var prompt = prompts[i % prompts.Count];
            var tokens = Math.Min(AnswerTokens, count - done);
            var (ours, theirs) = (actual.Greedy(prompt, tokens, cancellation), expected.Greedy(prompt, tokens, cancellation));
            wrong += ours.Zip(theirs).Count(pair => pair.First != pair.Second);
            done += tokens;
        }
        checkedRow(new CheckRow("greedy", model.Config.Name, wrong, 0));
    }
}
