using System.Diagnostics;
using System.Text;
using Distributed.Cluster.Config;
using Distributed.Testing;

namespace Distributed.Cluster.Tests.Config;

public class HostileYamlTests
{
    private static readonly string Valid = File.ReadAllText(Repository.Path("cluster/explicit-layers.yaml"));

    private static readonly Dictionary<string, string> Bombs = new()
    {
        ["lists in lists"] = new string('[', ClusterFile.MaxBytes),
        ["maps in maps"] = string.Concat(Enumerable.Repeat("{a: ", ClusterFile.MaxBytes / 4)),
        ["lists by indentation"] = string.Concat(Enumerable.Repeat("- ", ClusterFile.MaxBytes / 2)),
        ["many values"] = "[" + string.Concat(Enumerable.Repeat("a,", (ClusterFile.MaxBytes / 2) - 1)) + "]",
        ["many keys"] = string.Concat(Enumerable.Range(0, 100_000).Select(i => $"k{i}: 1\n")),
        ["one long word"] = "model: " + new string('m', ClusterFile.MaxBytes - 7),
        ["one long key"] = new string('k', ClusterFile.MaxBytes - 3) + ": 1",
        ["one long comment"] = "#" + new string('#', ClusterFile.MaxBytes - 1),
        ["only spaces"] = new string(' ', ClusterFile.MaxBytes),
        ["only line ends"] = new string('\n', ClusterFile.MaxBytes),
        ["only colons"] = new string(':', ClusterFile.MaxBytes),
        ["only quotes"] = new string('"', ClusterFile.MaxBytes),
        ["only question marks"] = string.Concat(Enumerable.Repeat("? ", ClusterFile.MaxBytes / 2)),
        ["only document marks"] = string.Concat(Enumerable.Repeat("---\n", ClusterFile.MaxBytes / 4)),
        ["only directives"] = string.Concat(Enumerable.Repeat("%TAG ! x\n", ClusterFile.MaxBytes / 9)),
        ["billion laughs"] = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]",
        ["many workers and stages"] = "model: m\nworkers:\n"
            + string.Concat(Enumerable.Range(0, 3000).Select(i => $"  - {{name: worker-with-a-name-{i}, address: 'h:{i}'}}\n"))
            + "split:\n" + string.Concat(Enumerable.Range(0, 3000).Select(i => $"  - {{worker: stranger-{i}, layers: 1}}\n")),
        ["zeros"] = new string('\0', ClusterFile.MaxBytes),
    };

    public static TheoryData<string> BombNames => [.. Bombs.Keys];

    [Theory]
    [MemberData(nameof(BombNames))]
    public void A_bomb_is_refused_in_time_that_grows_no_faster_than_the_file(string name)
    {
        // Each takes well under a second alone; work that grew with the square of a mebibyte would take many minutes.
        var clock = Stopwatch.StartNew();
        var refusal = Assert.Throws<InvalidInputException>(() => ClusterFile.Parse(Bombs[name], name, "/"));
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(10), $"{clock.Elapsed}");
        Assert.True(refusal.Message.Length < 4 << 20, $"a message of {refusal.Message.Length} characters");
    }

    [Theory]
    [InlineData("model: m.gguf\nworkers: [{name: a, address: '127.0.0.1:1'}]\n\0sequences: 0", 3)]
    [InlineData("model: m\u0007.gguf", 1)]
    public void Characters_that_no_text_has_are_refused_with_their_line(string yaml, int line)
    {
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => ClusterFile.Parse(yaml, "c.yaml", "/")).Errors);
        Assert.Equal(("c.yaml", line), (error.Source, error.Line));
        Assert.Contains("control character", error.Rule, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_above_the_limit_is_refused_without_being_parsed()
    {
        var path = Path.GetTempFileName();
        string Refusal() => Assert.Throws<InvalidInputException>(() => ClusterFile.Load(path)).Message;
        try
        {
            File.WriteAllText(path, new string(' ', ClusterFile.MaxBytes + 1));
            Assert.Equal($"cluster is {path}: must be at most 1 MiB", Refusal());
            File.WriteAllBytes(path, [0x6d, 0xff, 0xfe]);
            Assert.Equal($"cluster is {path}: must be UTF-8 text", Refusal());
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Mutated_files_are_read_or_refused_and_nothing_else()
    {
        var junk = Gen.OneOf(
            "", "-", ": ", "[", "]", "{", "}", "&a", "*a", "!!",
            "\"", "'", "|", ">", "#", "\n", "\t", "? ", "---\n", "...", "%", "\0", "é",
            "\uD83D\uDE00", "99999999999999999999", "null", "<<: ");
        var edit = Gen.Select(Gen.Int[0, Valid.Length], Gen.Int[0, 12], junk);
        var refused = 0;
        edit.Array[1, 4].Sample(
            edits =>
            {
                var text = new StringBuilder(Valid);
                foreach (var (at, cut, insert) in edits)
                {
                    var start = Math.Min(at, text.Length);
                    text.Remove(start, Math.Min(cut, text.Length - start)).Insert(start, insert);
                }

                try
                {
                    ClusterFile.Parse(text.ToString(), "c.yaml", "/");
                }
                catch (InvalidInputException exception)
                {
                    Interlocked.Increment(ref refused);
                    return exception.Errors.Count > 0 && exception.Errors.All(error => error is { Source: "c.yaml", Line: >= 1 });
                }

                return true;
            },
            iter: 10_000, print: edits => string.Join("; ", edits));
        Assert.InRange(refused, 1_000, 10_000);
    }
}
