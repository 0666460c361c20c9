using Distributed.Core.Quantization;

namespace Distributed.Core.Gguf;

/// <summary>Makes tensors of what a header describes, after checking that each lies in the file, alone.</summary>
internal static unsafe class GgufTensors
{
    private const int MaxErrors = 20;

    /// <summary>The tensors, in the header's order.</summary>
    /// <exception cref="InvalidInputException">One error per tensor that breaks a rule, at most twenty.</exception>
    public static IReadOnlyList<Tensor> Place(MappedFile file, GgufHeader header, uint alignment)
    {
        var errors = new List<InputError>();
        var tensors = new List<Tensor>();
        var unreadTypes = new HashSet<uint>();
        var start = (header.Length + alignment - 1) / alignment * alignment;
        foreach (var info in header.Tensors)
        {
            if (QuantTypes.Find(info.TypeId) is { } type)
            {
                if (FindFault(file, start, alignment, info, type) is { } fault)
                    errors.Add(fault);
                else
                    tensors.Add(new Tensor(
                        info.Name, type, Array.ConvertAll(info.Dimensions, d => (long)d), file.Data + start + info.Offset, file));
            }
            else if (unreadTypes.Add(info.TypeId)) // once is enough: all tensors of a model may have it
                errors.Add(new InputError(info.Name, QuantTypes.Describe(info.TypeId), QuantTypes.NotRead, file.Path));

            if (errors.Count == MaxErrors)
                throw new InvalidInputException(errors);
        }

        errors.AddRange(FindRepeated(tensors, file).Concat(FindOverlaps(tensors, file)).Take(MaxErrors - errors.Count));
        return errors.Count == 0 ? tensors : throw new InvalidInputException(errors);
    }

    private static InputError? FindFault(MappedFile file, long start, uint alignment, GgufTensorInfo info, QuantType type)
    {
        if (info.Dimensions.Contains(0UL))
            return ShapeFault("must have no dimension that is 0");
        if (info.Dimensions[0] % (ulong)type.BlockLength != 0)
            return ShapeFault($"{type} needs rows of a multiple of {type.BlockLength} values");
        var bytes = (UInt128)(info.Dimensions[0] / (ulong)type.BlockLength) * (ulong)type.BlockBytes;
        if (bytes > int.MaxValue)
            return ShapeFault($"must have rows of at most {int.MaxValue} bytes");
        foreach (var dimension in info.Dimensions.AsSpan(1))
        {
            bytes *= dimension;
            if (bytes > long.MaxValue)
                return ShapeFault("must have less than 2^63 bytes");
        }

        if (info.Offset % alignment != 0)
            return Fault($"offset {info.Offset}", $"must be a multiple of the alignment, {alignment}");
        var first = (UInt128)start + info.Offset;
        return first + bytes <= (UInt128)file.Length
            ? null
            : Fault($"{bytes} bytes at offset {first}", $"must end inside the file, which has {file.Length} bytes");

        InputError ShapeFault(string rule) => Fault($"[{string.Join(", ", info.Dimensions)}]", rule);
        InputError Fault(string value, string rule) => new(info.Name, value, rule, file.Path);
    }

    private static IEnumerable<InputError> FindRepeated(List<Tensor> tensors, MappedFile file)
    {
        var names = new HashSet<string>();
        return tensors.Where(tensor => !names.Add(tensor.Name))
            .Select(tensor => new InputError(tensor.Name, "there twice", "must be there once", file.Path));
    }

    private static IEnumerable<InputError> FindOverlaps(List<Tensor> tensors, MappedFile file)
    {
        var sorted = tensors.OrderBy(tensor => (nint)tensor.Data).ToArray();
        return sorted.Zip(sorted.Skip(1))
            .Where(pair => End(pair.First) > (nint)pair.Second.Data)
            .Select(pair => new InputError(
                pair.Second.Name,
                $"offset {(nint)pair.Second.Data - (nint)file.Data}",
                $"must lie behind the bytes of {pair.First.Name}",
                file.Path));
    }

    private static nint End(Tensor tensor) => (nint)tensor.Data + (nint)tensor.Bytes;
}
