using System.Text.RegularExpressions;
using Distributed.Testing;

namespace Distributed.Cli.Tests;

/// <summary>The paths through the kernels, each taken by the real program because the runtime's variables leave it no other.</summary>
public sealed partial class InstructionSetTests : IDisposable
{
    private const string Ids = "1,124,107,241,131,251,185,43,163,132,181,186,183,184,280,109,30,220,238,147";

    private static readonly string Model = Golden.Path("quantized/Q4_K_M.gguf");

    private readonly TempFolder _folder = new();

    // Variables of the runtime, and the sets that go with them. Where the processor has none of those, paths are the same.
    private static readonly (string Variables, string TakenAway)[] Paths =
    [
        ("DOTNET_EnableAVX512=0", "Avx512 Avx512Vnni"),
        ("DOTNET_EnableAVX512=0 DOTNET_EnableAVXVNNI=0", "Avx512 Avx512Vnni AvxVnni"),
        ("DOTNET_EnableAVX2=0", "Avx512 Avx512Vnni AvxVnni Avx2"),
        ("DOTNET_EnableHWIntrinsic=0", "Avx512 Avx512Vnni AvxVnni Avx2 Vector128 ArmDot"),
    ];

    [Fact]
    public async Task Logits_have_the_same_bits_with_fewer_instructions_in_one_batch_and_step_by_step()
    {
        var all = await InstructionsAsync([]);
        var reference = await LogitsAsync([], "-t", "2");
        Assert.Equal(20 * 320 * sizeof(float), reference.Length);

        foreach (var (variables, takenAway) in Paths)
        {
            var less = variables.Split(' ');
            Assert.Equal(all.Except(takenAway.Split(' ')), await InstructionsAsync(less));
            foreach (var args in (string[][])[["-t", "2"], ["-t", "1", "--step"]])
            {
                var logits = await LogitsAsync(less, args);
                Assert.True(reference.SequenceEqual(logits), $"{variables} {string.Join(' ', args)}");
            }
        }
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>The sets that the program says it uses; it is ended when it has said so.</summary>
    private static async Task<string[]> InstructionsAsync(string[] variables)
    {
        await using var cli = Cli.StartWith(variables, "bench", "-m", Model);
        var machine = await cli.SeeErrorAsync(MachineLine());
        return machine.Groups[1].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }

    private async Task<byte[]> LogitsAsync(string[] variables, params string[] args)
    {
        var path = _folder.Path("logits");
        await using var cli = Cli.StartWith(variables, ["logits", "-m", Model, "--ids", Ids, "--out", path, .. args]);
        var result = await cli.FinishAsync();
        Assert.Equal((0, "", ""), (result.ExitCode, result.Out, result.Error));
        return await File.ReadAllBytesAsync(path);
    }

    [GeneratedRegex(@"\d cores, (.*), \.NET")]
    private static partial Regex MachineLine();
}
