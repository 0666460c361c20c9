using System.Globalization;
using Distributed.Core;
using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>A <see cref="ModelReport"/> as tables.</summary>
internal static class ModelReportText
{
    private const int MaxValueLength = 100;

    /// <summary>Prints the report.</summary>
    public static void Print(IAnsiConsole console, ModelReport report)
    {
        var shards = report.Shards > 1 ? $" in {report.Shards} files" : "";
        console.Section("FILE", Tables.Pairs()
            .Line("path", report.File)
            .Line("format", $"{report.Format}, {Units.Bytes(report.FileBytes)}{shards}")
            .Line("hash", report.Hash ?? "-"));
        if (report.Model is { } model)
            console.Section("MODEL", Shape(model));
        if (report.Memory is { } memory)
            console.Section("MEMORY", Parts(memory, report.Model!));

        var types = Tables.Create("type", ">tensors", ">values", ">bytes");
        foreach (var type in report.Types)
            types.Line(type.Type, Units.Count(type.Tensors), Units.Count(type.Values), Units.Bytes(type.Bytes));
        console.Section("QUANT TYPES", types);

        var metadata = Tables.Pairs();
        foreach (var (key, value) in report.Metadata)
            metadata.Line(key, Printable.Line(Format(value), MaxValueLength));
        console.Section("METADATA", metadata);

        if (report.Tensors is not { } tensors)
            return;
        var list = Tables.Create("name", "type", "dimensions", ">bytes");
        foreach (var tensor in tensors)
            list.Line(tensor.Name, tensor.Type, string.Join(" × ", tensor.Dimensions), Units.Bytes(tensor.Bytes));
        console.Section("TENSORS", list);
    }

    private static Table Shape(ModelConfig model)
    {
        var table = CommonShape(model);
        if (model.Experts is { } experts)
            table.Line("experts", $"{experts.Count}, {experts.PerToken} for each token, {Units.Count(experts.IntermediateSize)} wide");
        return table;
    }

    private static Table CommonShape(ModelConfig model) => Tables.Pairs()
        .Line("name", model.Name)
        .Line("architecture", model.Architecture)
        .Line("layers", Units.Count(model.NumLayers))
        .Line("hidden size", Units.Count(model.HiddenSize))
        .Line("intermediate size", Units.Count(model.IntermediateSize))
        .Line("heads", $"{model.NumHeads}, {model.NumKvHeads} for keys and values, {model.HeadDim} values each")
        .Line("vocabulary", $"{Units.Count(model.VocabSize)} tokens")
        .Line("context", $"{Units.Count(model.ContextLength)} tokens")
        .Line("RoPE theta", model.Rope.Theta.ToString(CultureInfo.InvariantCulture))
        .Line("RMS norm eps", model.RmsNormEps.ToString(CultureInfo.InvariantCulture));

    private static Table Parts(ModelMemory memory, ModelConfig model) => Tables.Create("part", ">bytes", "")
        .Line("embedding", Units.Bytes(memory.Embedding), "")
        .Line("layers", Units.Bytes(memory.Layers), $"{model.NumLayers} of {Units.Bytes(memory.Layers / model.NumLayers)}")
        .Line("LM head", Units.Bytes(memory.LmHead), memory.TiedHead ? "tied: the embedding, held once by a stage that has both" : "")
        .Line(
            "KV cache",
            Units.Bytes(memory.KvAtContext),
            $"{memory.KvType} for {Units.Count(memory.Context)} tokens, {Units.Bytes(memory.KvPerToken)} per token");

    private static string Format(object value) => value switch
    {
        LongArray array => $"[{string.Join(", ", array.First.Select(Format))}, …] ({Units.Count(array.Length)})",
        Array array => $"[{string.Join(", ", array.Cast<object>().Select(Format))}]",
        bool truth => truth ? "true" : "false",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "",
    };
}
