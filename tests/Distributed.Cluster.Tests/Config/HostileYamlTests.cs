using System.Diagnostics;
using System.Text;
using CsCheck;
using Distributed.Cluster.Config;
using Distributed.Core;
using Distributed.Testing;

namespace Distributed.Cluster.Tests.Config;

public class HostileYamlTests
{
    private static readonly string Valid = File.ReadAllText(Repository.Path("cluster/explicit-layers.yaml"));

    public static TheoryData<string, string> Bombs => new()
    {
        { "lists in lists", new string('[', ClusterFile.MaxBytes) },
        { "maps in maps", string.Concat(Enumerable.Repeat("{a: ", ClusterFile.MaxBytes / 4)) },
        { "lists by indentation", string.Concat(Enumerable.Repeat("- ", ClusterFile.MaxBytes / 2)) },
        { "many values", "[" + string.Concat(Enumerable.Repeat("a,", (ClusterFile.MaxBytes / 2) - 1)) + "]" },
        { "many keys", string.Concat(Enumerable.Range(0, 100_000).Select(i => $"k{i}: 1\n")) },
        { "one long word", "model: " + new string('m', ClusterFile.MaxBytes - 7) },
        { "one long key", new string('k', ClusterFile.MaxBytes - 3) + ": 1" },
        { "one long comment", "#" + new string('#', ClusterFile.MaxBytes - 1) },
        { "only spaces", new string(' ', ClusterFile.MaxBytes) },
        { "only line ends", new string('\n', ClusterFile.MaxBytes) },
        { "only colons", new string(':', ClusterFile.MaxBytes) },
        { "only quotes", new string('"', ClusterFile.MaxBytes) },
        { "only question marks", string.Concat(Enumerable.Repeat("? ", ClusterFile.MaxBytes / 2)) },
        { "only document marks", string.Concat(Enumerable.Repeat("---\n", ClusterFile.MaxBytes / 4)) },
        { "only directives", string.Concat(Enumerable.Repeat("%TAG ! x\n", ClusterFile.MaxBytes / 9)) },
        { "billion laughs", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]" },
        { "zeros", new string('\0', ClusterFile.MaxBytes) },
    };

    [Theory]
    [MemberData(nameof(Bombs))]
    public void A_bomb_is_refused_in_under_two_seconds(string name, string yaml)
    {
        var clock = Stopwatch.StartNew();
        var refusal = Assert.Throws<InvalidInputException>(() => ClusterFile.Parse(yaml, name, "/"));
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(2), $"{name}: {clock.Elapsed}");
        Assert.True(refusal.Message.Length < 4 << 20, $"{name}: a message of {refusal.Message.Length} characters");
    }

    [Fact]
    public void A_file_above_the_limit_is_refused_without_being_parsed()
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, new string(' ', ClusterFile.MaxBytes + 1));
            Assert.Contains("must be at most 1 MiB", Assert.Throws<InvalidInputException>(() => ClusterFile.Load(path)).Message, StringComparison.Ordinal);
            File.WriteAllBytes(path, [0x6d, 0xff, 0xfe]);
            Assert.Contains("UTF-8", Assert.Throws<InvalidInputException>(() => ClusterFile.Load(path)).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Mutated_files_are_read_or_refused_and_nothing_else()
    {
        var junk = Gen.OneOf("", "-", ": ", "[", "]", "{", "}", "&a", "*a", "!!", "\"", "'", "|", ">", "#", "\n", "\t", "? ", "---\n", "...", "%", "\0", "é", "\uD83D\uDE00", "99999999999999999999", "null", "<<: ");
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
                    return exception.Errors.Count > 0 && exception.Errors.All(error => error.Source == "c.yaml" && error.Line is null or >= 1);
                }

                return true;
            },
            iter: 10_000, print: edits => string.Join("; ", edits));
        Assert.InRange(refused, 1_000, 10_000);
    }
}
