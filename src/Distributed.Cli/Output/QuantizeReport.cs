using System.Globalization;
using Distributed.Core.Quantization;
using Spectre.Console;

namespace Distributed.Cli.Output;

/// <summary>What <c>quantize</c> has done. Sizes are bytes of tensors.</summary>
/// <param name="File">The new file.</param>
/// <param name="Type">Its type as a whole.</param>
/// <param name="Tensors">Its tensors by format.</param>
/// <param name="Total">All of them.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="MibPerSecond">Mebibytes of the model that were read in a second.</param>
internal sealed record QuantizeReport(
    string File, string Type, IReadOnlyList<QuantizedShare> Tensors, QuantizedShare Total, double Seconds, double MibPerSecond)
{
    /// <summary>The report of a file that is written.</summary>
    public static QuantizeReport Create(string file, FileType type, IReadOnlyList<QuantizedTensor> tensors, TimeSpan time)
    {
        var total = QuantizedShare.Of("total", tensors);
        return new(
            file,
            type.Name,
            [.. tensors.GroupBy(tensor => tensor.Type).Select(group => QuantizedShare.Of(group.Key.Name, [.. group]))],
            total,
            time.TotalSeconds,
            total.BytesBefore / time.TotalSeconds / (1 << 20));
    }

    /// <summary>Prints it as a table.</summary>
    public void Print(IAnsiConsole console)
    {
        var table = Tables.Create("type", ">tensors", ">before", ">after", ">bits per weight");
        foreach (var share in Tensors.Append(Total))
        {
            table.Line(
                share.Type,
                Units.Count(share.Tensors),
                Units.Bytes(share.BytesBefore),
                Units.Bytes(share.BytesAfter),
                share.BitsPerWeight.ToString("0.00", CultureInfo.InvariantCulture));
        }

        console.Write(table);
        console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{Printable.Line(File)}: {Type} in {Seconds:0.0} s, {MibPerSecond:0} MiB/s"));
    }
}

/// <summary>The tensors of one format.</summary>
internal sealed record QuantizedShare(string Type, int Tensors, long Values, long BytesBefore, long BytesAfter, double BitsPerWeight)
{
    /// <summary>Sums up tensors.</summary>
    public static QuantizedShare Of(string type, IReadOnlyList<QuantizedTensor> tensors)
    {
        var values = tensors.Sum(tensor => tensor.Values);
        var after = tensors.Sum(tensor => tensor.Bytes);
        return new(type, tensors.Count, values, tensors.Sum(tensor => tensor.Source.Bytes), after, 8.0 * after / values);
    }
}
