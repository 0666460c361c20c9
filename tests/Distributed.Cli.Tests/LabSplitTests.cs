using System.Globalization;
using System.Text.Json;
using Distributed.Testing;
using SkiaSharp;

namespace Distributed.Cli.Tests;

public sealed class LabSplitTests : IDisposable
{
    private const string Tiny = "layers=3,hidden=64,ffn=128,heads=2,kv=1,vocab=512:q8_0";
    private static readonly string[] Files = ["data.csv", "setup.json", "split.png", "split.svg"];

    private readonly TempFolder _folder = new();

    private string Out => _folder.Path("out");

    [Fact]
    public async Task Sample_model_is_measured_at_every_split_in_another_order_each_time()
    {
        var result = await Cli.RunAsync(
            "lab", "split", "-r", "2", "--step", "4", "-p", "24", "--batch", "8", "-n", "4", "-t", "2,1", "--out", Out);

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        Assert.Equal(Files, Directory.GetFiles(Out).Select(Path.GetFileName).Order());
        var (heads, rows) = ReadCsv();
        Assert.Equal(
            "layersA,layersB,phase,tokens,repetition,order,msPerToken,computeMsA,computeMsB,queueMsA,queueMsB,hopSerializeMs,hopWireMs,"
            + "hopDeserializeMs,coordinatorMs,predictedMsPerToken",
            string.Join(',', heads));
        string[] expected =
        [
            .. from layers in (int[])[0, 4, 8]
               from phase in (string[])["decode 4", "prefill 24"]
               from repetition in (int[])[0, 1]
               select $"{layers} {8 - layers} {phase} {repetition}",
        ];
        Assert.Equal(expected, rows.Select(row => $"{row["layersA"]} {row["layersB"]} {row["phase"]} {row["tokens"]} {row["repetition"]}").Order());
        Assert.Equal([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5], rows.Select(row => int.Parse(row["order"], CultureInfo.InvariantCulture)));
        foreach (var row in rows)
        {
            var layers = row["layersA"];
            Assert.True(Figure(row, "msPerToken") > 0 && Figure(row, "coordinatorMs") > 0);
            Assert.Equal(layers != "0", row["computeMsA"] != "");
            Assert.Equal(layers != "8", row["computeMsB"] != "");
            Assert.All((string[])["hopSerializeMs", "hopWireMs", "hopDeserializeMs"], part => Assert.Equal(layers == "4", row[part] != ""));
            Assert.True(Figure(row, "predictedMsPerToken") > 0);
            // One token at a time: its parts are one behind the other, and nothing else takes long.
            if (row["phase"] == "decode")
                Assert.InRange(
                    row.Where(cell => cell.Value != "" && cell.Key.Contains("Ms", StringComparison.Ordinal) && cell.Key != "predictedMsPerToken")
                        .Sum(cell => Figure(row, cell.Key)),
                    0.5 * Figure(row, "msPerToken"),
                    1.001 * Figure(row, "msPerToken"));
        }

        var setup = JsonDocument.Parse(File.ReadAllText(Path.Combine(Out, "setup.json"))).RootElement;
        Assert.Equal("split", setup.GetProperty("experiment").GetString());
        Assert.Contains("2,1", setup.GetProperty("arguments").EnumerateArray().Select(word => word.GetString()));
        Assert.Equal(("Tales 5M", 8), (setup.GetProperty("model").GetProperty("name").GetString()!, setup.GetProperty("model").GetProperty("layers").GetInt32()));
        Assert.Matches("^[0-9a-f]{64}$", setup.GetProperty("model").GetProperty("hash").GetString());
        Assert.Equal([2, 1], setup.GetProperty("devices").EnumerateArray().Select(device => device.GetProperty("threads").GetInt32()));
        Assert.Equal(8, setup.GetProperty("settings").GetProperty("batch").GetInt32());
        Assert.NotEmpty(setup.GetProperty("machine").GetProperty("cpu").GetString()!);
        Assert.Matches(@"decode +4 +4 +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+", result.Out);
        CheckPictures();
    }

    [Fact]
    public async Task Random_weights_go_over_the_two_workers_of_a_cluster_that_are_named_and_the_medians_are_json()
    {
        await using var one = await RunningWorker.StartAsync("one");
        await using var two = await RunningWorker.StartAsync("two");
        var cluster = _folder.Path("cluster.yaml");
        await File.WriteAllTextAsync(cluster, $$"""
            model: nowhere.gguf
            workers:
              - { name: gone, address: "127.0.0.1:1" }
              - { name: one, address: "{{one.Address}}" }
              - { name: two, address: "{{two.Address}}" }
            """);

        var result = await Cli.RunAsync(
            "lab", "split", "-c", cluster, "--a", "two/cpu", "--b", "one", "--synthetic", Tiny, "-r", "1", "-p", "8", "-n", "2", "--step", "2",
            "--out", Out, "--json");

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        var medians = JsonDocument.Parse(result.Out).RootElement.EnumerateArray().ToList();
        Assert.Equal(
            ["prefill 0 3", "prefill 2 1", "prefill 3 0", "decode 0 3", "decode 2 1", "decode 3 0"],
            medians.Select(row => $"{row.GetProperty("phase")} {row.GetProperty("layersA")} {row.GetProperty("layersB")}"));
        Assert.All(medians, row => Assert.InRange(row.GetProperty("msPerToken").GetDouble(), row.GetProperty("min").GetDouble(), row.GetProperty("max").GetDouble()));
        var setup = JsonDocument.Parse(File.ReadAllText(Path.Combine(Out, "setup.json"))).RootElement;
        Assert.Equal(["two", "one"], setup.GetProperty("devices").EnumerateArray().Select(device => device.GetProperty("worker").GetString()));
        Assert.Equal(Tiny, setup.GetProperty("model").GetProperty("path").GetString());
    }

    [Fact]
    public async Task Interrupted_experiment_keeps_the_rows_it_has()
    {
        await using var cli = Cli.Start("lab", "split", "-r", "1000", "-p", "8", "-n", "2", "--out", Out);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!File.Exists(Path.Combine(Out, "data.csv")) || (await File.ReadAllLinesAsync(Path.Combine(Out, "data.csv"), patience.Token)).Length < 4)
            await Task.Delay(50, patience.Token);

        await cli.SignalAsync("INT");
        var result = await cli.FinishAsync();

        Assert.Equal((130, "", 0), (result.ExitCode, result.Out, result.Errors.Count));
        Assert.True(ReadCsv().Rows.Count >= 3);
    }

    [Theory]
    [InlineData("--threads is 1,2,3: must be one number or two, separated by a comma", "-t", "1,2,3")]
    [InlineData("--step is 0: must be a whole number from 1 to 1024", "--step", "0")]
    [InlineData("--step is 9: must be at most 8, the layers of Tales 5M", "--step", "9")]
    [InlineData("--repeat is x: must be a whole number from 1 to 1000", "-r", "x")]
    [InlineData("--prefill is 500: must fit the context of 512 tokens together with --decode 32", "-p", "500")]
    [InlineData("--decode is 512: must fit the context of 512 tokens together with --prefill 1", "-n", "512")]
    [InlineData("--a: needs --cluster", "--a", "x")]
    [InlineData("--synthetic: cannot stand beside --model", "--synthetic", "llama-1b:q4_0", "-m", "x.gguf")]
    public async Task Wrong_usage_is_refused_and_leaves_nothing(string error, params string[] args)
    {
        var result = await Cli.RunAsync(["lab", "split", "--out", Out, .. args]);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal([$"error: {error}"], result.Errors);
        Assert.False(Directory.Exists(Out));
    }

    [Fact]
    public async Task Everything_wrong_is_told_before_random_weights_are_made()
    {
        var cluster = _folder.Path("cluster.yaml");
        await File.WriteAllTextAsync(cluster, $"model: {Repository.SampleModel}\nworkers:\n  - {{ name: one, address: \"127.0.0.1:1\" }}\n");

        var result = await Cli.RunAsync("lab", "split", "--synthetic", Tiny, "-c", cluster, "--a", "one", "--b", "none", "--step", "9", "--out", Out);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal(
            [
                "error: --step is 9: must be at most 3, the layers of synthetic",
                "error: --b is none: must be a worker of the cluster, WORKER or WORKER/DEVICE; it has one",
            ],
            result.Errors);
        Assert.DoesNotContain("random weights", result.Error);
        Assert.False(Directory.Exists(Out));
    }

    [Fact]
    public async Task Links_and_wire_of_an_experiment_are_made_as_asked()
    {
        var result = await Cli.RunAsync(
            "lab", "split", "-r", "1", "--step", "4", "-p", "4", "-n", "2", "-t", "1", "--link", "delay=20ms", "--wire", "f16", "--out", Out);

        Assert.Equal((0, 0), (result.ExitCode, result.Errors.Count));
        Assert.All(ReadCsv().Rows.Where(row => row["phase"] == "decode"), row => Assert.True(Figure(row, "msPerToken") >= 40, row["msPerToken"]));
        var settings = JsonDocument.Parse(File.ReadAllText(Path.Combine(Out, "setup.json"))).RootElement.GetProperty("settings");
        Assert.Equal("f16", settings.GetProperty("wire").GetString());
        Assert.Equal("00:00:00.0200000", settings.GetProperty("link").GetProperty("delay").GetString());
    }

    [Fact]
    public async Task Folder_that_holds_something_is_refused_and_left_as_it_is()
    {
        Directory.CreateDirectory(Out);
        await File.WriteAllTextAsync(Path.Combine(Out, "data.csv"), "mine");

        var result = await Cli.RunAsync("lab", "split", "--out", Out);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal([$"error: --out is {Out}: holds something already; must be a new folder or an empty one"], result.Errors);
        Assert.Equal("mine", await File.ReadAllTextAsync(Path.Combine(Out, "data.csv")));
        Assert.Single(Directory.GetFiles(Out));
    }

    [Theory]
    [InlineData("--a is none: must be a worker of the cluster, WORKER or WORKER/DEVICE; it has one, two", "--a", "none", "--b", "two")]
    [InlineData("--b: is missing: the cluster has one, two", "--a", "one")]
    [InlineData("--b is one: must be another device than --a", "--a", "one/cpu", "--b", "one")]
    [InlineData("--threads: cannot stand beside --cluster, whose workers run already", "--a", "one", "--b", "two", "-t", "1")]
    [InlineData("--b is one/cuda:7: must be a device of one, which has cpu", "--a", "one/cpu", "--b", "one/cuda:7")]
    public async Task Devices_that_the_cluster_lacks_are_refused(string error, params string[] args)
    {
        await using var one = await RunningWorker.StartAsync("one");
        var cluster = _folder.Path("cluster.yaml");
        await File.WriteAllTextAsync(cluster, $$"""
            model: {{Repository.SampleModel}}
            workers:
              - { name: one, address: "{{one.Address}}" }
              - { name: two, address: "127.0.0.1:1" }
            """);

        var result = await Cli.RunAsync(["lab", "split", "-c", cluster, "--out", Out, .. args]);

        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Assert.Equal([$"error: {error}"], result.Errors);
        Assert.False(Directory.Exists(Out));
    }

    [Theory]
    [InlineData("lab: needs one of gpu, links, plan, soak, split, state", "lab")]
    [InlineData("sing: lab has no such verb, it has gpu, links, plan, soak, split, state", "lab", "sing")]
    public async Task Experiments_are_listed_where_none_is_named(string error, params string[] args)
    {
        var result = await Cli.RunAsync(args);

        Assert.Equal(2, result.ExitCode);
        Assert.Equal([$"error: {error}"], result.Errors);
        Assert.EndsWith("'distributed lab --help' shows what there is.\n", result.Error);
    }

    public void Dispose() => _folder.Dispose();

    private void CheckPictures()
    {
        var bytes = File.ReadAllBytes(Path.Combine(Out, "split.png"));
        Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0d, 0x0a, 0x1a, 0x0a], bytes[..8]);
        using var picture = SKBitmap.Decode(bytes);
        var colours = picture.Pixels.GroupBy(pixel => pixel).ToDictionary(group => group.Key, group => group.Count());
        // Paper, lines of the two colours, and text.
        Assert.True(colours.Count > 50);
        Assert.InRange(colours[SKColors.White], picture.Pixels.Length / 2, picture.Pixels.Length - 10_000);
        Assert.True(colours.Keys.Any(pixel => pixel is { Red: < 10, Blue: > 150 }), "no blue line");
        var svg = File.ReadAllText(Path.Combine(Out, "split.svg"));
        Assert.StartsWith("<?xml", svg);
        Assert.EndsWith("</svg>", svg.TrimEnd());
    }

    private (string[] Heads, List<Dictionary<string, string>> Rows) ReadCsv()
    {
        var lines = File.ReadAllLines(Path.Combine(Out, "data.csv")).Select(line => line.Split(',')).ToList();
        return (lines[0], [.. lines.Skip(1).Select(cells => lines[0].Zip(cells).ToDictionary(pair => pair.First, pair => pair.Second))]);
    }

    private static double Figure(Dictionary<string, string> row, string head) => double.Parse(row[head], CultureInfo.InvariantCulture);
}
