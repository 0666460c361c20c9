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
        foreach (var dimension in info.Dimensions)
            if (dimension == 0)
                return ShapeFault("must have no dimension that is 0");
        if (info.Dimensions[0] % (ulong)type.BlockLength != 0)
            return ShapeFault($"{type} needs rows of a multiple of {type.BlockLength} values");
        var blocks = info.Dimensions[0] / (ulong)type.BlockLength;
        if (blocks > (ulong)(int.MaxValue / type.BlockBytes))
            return ShapeFault($"must have rows of at most {int.MaxValue} bytes");
        var bytes = (long)blocks * type.BlockBytes;
        for (var i = 1; i < info.Dimensions.Length; i++)
        {
            if (info.Dimensions[i] > (ulong)(long.MaxValue / bytes))
                return ShapeFault("must have less than 2^63 bytes");
            bytes *= (long)info.Dimensions[i];
        }

        if (info.Offset % alignment != 0)
            return Fault($"offset {info.Offset}", $"must be a multiple of the alignment, {alignment}");
        var room = file.Length - start;
        return room >= bytes && info.Offset <= (ulong)(room - bytes) ? null : EndFault();

        // On its own: the runtime compiles methods with 128-bit numbers when they are called, which takes time, and few are.
        InputError EndFault() =>
            Fault($"{bytes} bytes at offset {(UInt128)start + info.Offset}", $"must end inside the file, which has {file.Length} bytes");
        InputError ShapeFault(string rule) => Fault($"[{string.Join(", ", info.Dimensions)}]", rule);
        InputError Fault(string value, string rule) => new(info.Name, value, rule, file.Path);
    }

    private static IEnumerable<InputError> FindRepeated(List<Tensor> tensors, MappedFile file)
    {
        var names = new HashSet<string>();
        return tensors.Where(tensor => !names.Add(tensor.Name))
            .Select(tensor => new InputError(tensor.Name, "there twice", "must be there once", file.Path));
    }

    private static List<InputError> FindOverlaps(List<Tensor> tensors, MappedFile file)
    {
        var faults = new List<InputError>();
        var sorted = new List<Tensor>(tensors);
        sorted.Sort((first, second) => ((nint)first.Data).CompareTo((nint)second.Data));
        for (var i = 1; i < sorted.Count; i++)
            if (End(sorted[i - 1]) > (nint)sorted[i].Data)
            {
                faults.Add(new InputError(
                    sorted[i].Name,
                    $"offset {sorted[i].Data - file.Data}",
                    $"must lie behind the bytes of {sorted[i - 1].Name}",
                    file.Path));
            }
        return faults;
    }

    private static nint End(Tensor tensor) => (nint)tensor.Data + (nint)tensor.Bytes;
}
