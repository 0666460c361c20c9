using System.Runtime.InteropServices;
using Distributed.Core.Quantization;
using Distributed.Core.Safetensors;

namespace Distributed.Core.HuggingFace;

/// <summary>
/// A folder's tensors under this project's names. Matrices stay where they lie; what kernels need as float32 (norms, biases) and
/// has another type is converted, which is little.
/// </summary>
internal sealed unsafe class HuggingFaceTensors
{
    private const int MaxErrors = 20;

    // Buffers that models computed once and saved, and the parts of a model of images.
    private static readonly string[] UnusedEndings = [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"];
    private static readonly string[] ImageModels =
        ["vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."];

    private readonly HuggingFaceConfig _config;
    private readonly string _source;
    private readonly Dictionary<string, SafetensorsTensor> _stored = [];
    private readonly HashSet<string> _used = [];
    private readonly OrderedDictionary<string, Tensor> _tensors = [];
    private readonly List<InputError> _errors = [];

    private HuggingFaceTensors(HuggingFaceConfig config, SafetensorsSet files, string source)
    {
        _config = config;
        _source = source;
        foreach (var tensor in files.Tensors.Values)
            if (!(config.Row.MayHaveImages && ImageModels.Any(part => tensor.Name.StartsWith(part, StringComparison.Ordinal))))
                _stored[WithoutPrefix(tensor.Name)] = tensor;
    }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config => _config.Model;

    /// <summary>The tensors by this project's names.</summary>
    /// <param name="config">What the folder's config says.</param>
    /// <param name="files">The files.</param>
    /// <param name="source">The folder, for errors.</param>
    /// <exception cref="InvalidInputException">A tensor is missing, not known, or of a wrong shape or type; at most twenty errors.</exception>
    public static IReadOnlyDictionary<string, Tensor> Map(HuggingFaceConfig config, SafetensorsSet files, string source)
    {
        var map = new HuggingFaceTensors(config, files, source);
        foreach (var spec in Architectures.ByName(config.Row.Name).Tensors)
            if (spec.When?.Invoke(config.Model) != false)
                for (var layer = 0; layer < (spec.Role == TensorRole.Repeating ? config.Model.NumLayers : 1); layer++)
                    map.Add(spec, layer);
        map.RefuseTheRest();
        return map._errors.Count == 0 ? map._tensors : throw new InvalidInputException(map._errors);
    }

    /// <summary>Whether the files have a tensor.</summary>
    public bool Has(string name) => _stored.ContainsKey(name);

    /// <summary>A tensor of the files; null, and an error, where it is missing or has another shape or type. It may be taken again.</summary>
    /// <param name="name">Its name in the files.</param>
    /// <param name="shape">The dimensions it must have, a row's length last.</param>
    /// <param name="types">The types it may have.</param>
    public SafetensorsTensor? Take(string name, IReadOnlyList<long> shape, params IReadOnlyList<string> types)
    {
        if (!_stored.TryGetValue(name, out var tensor))
            return Fail(name, null, $"is missing; a {_config.Row.ModelType} model needs it with the shape {Format(shape)}", _source);
        _used.Add(name);
        if (!types.Contains(tensor.DType))
            return Fail(name, tensor.DType, $"must be {string.Join(" or ", types)}", tensor.File.Path);
        return tensor.Shape.SequenceEqual(shape)
            ? tensor
            : Fail(name, Format(tensor.Shape), $"must have the shape {Format(shape)}", tensor.File.Path);
    }

    private void Add(TensorSpec spec, int layer)
    {
        var name = spec.NameIn(layer);
        if (spec.Name == TensorNames.Output && _config.IsTied == true)
            return;
        var tensor = _config.RopeFactors.TryGetValue(name, out var factors)
            ? Floats(name, [factors.Length], [], values => factors.CopyTo(values))
            : _config.Row.Special?.Invoke(spec, layer, this) ?? Find(spec, layer, name);
        if (tensor is not null)
            _tensors[name] = tensor;
    }

    private Tensor? Find(TensorSpec spec, int layer, string name)
    {
        if (_config.Row.NameOf(spec, layer) is not { } found)
            return null;
        var shape = spec.Shape(Config);
        var isMany = found.Contains("{n}", StringComparison.Ordinal);
        var isOptional = spec.IsOptional && !(spec.Name == TensorNames.Output && _config.IsTied == false);
        var first = isMany ? found.Replace("{n}", "0", StringComparison.Ordinal) : found;
        if (!_stored.ContainsKey(first) && (isOptional || (spec.FusedNameIn(layer) is { } fused && _tensors.ContainsKey(fused))))
            return null;
        if (!isMany)
            return Place(found, name, shape);

        var parts = new List<Tensor>();
        for (var i = 0; i < shape[^1]; i++)
            if (Place(found.Replace("{n}", $"{i}", StringComparison.Ordinal), name, shape[..^1]) is { } part)
                parts.Add(part);
            else
                return null;
        // Experts are left where they lie. Norms of heads are few values, and read as one row after the other.
        if (!ModelTensors.IsFloat32(name, shape))
            return Tensor.Stack(name, parts);
        return Floats(name, shape, [.. parts.SelectMany(part => part.FileRanges)], values =>
        {
            for (var i = 0; i < parts.Count; i++)
                parts[i].DequantizeRow(0, values.Slice(i * (int)shape[0], (int)shape[0]));
        });
    }

    private Tensor? Place(string found, string name, long[] shape)
    {
        if (Take(found, [.. shape.Reverse()], SafetensorsTensor.WeightTypes) is not { } tensor)
            return null;
        var type = tensor.Type;
        var addsOne = _config.Row.AddsOneToNorms && name.EndsWith("norm.weight", StringComparison.Ordinal);
        if (!addsOne && (type == F32.Type || !ModelTensors.IsFloat32(name, shape)))
            return new Tensor(name, type, shape, tensor.Data, tensor.File);
        return Floats(name, shape, [tensor.Range], values =>
        {
            tensor.ReadFloats(values);
            for (var i = 0; addsOne && i < values.Length; i++)
                values[i] += 1;
        });
    }

    private static Tensor Floats(string name, long[] shape, IReadOnlyList<FileRange> madeOf, FillFloats fill) =>
        Tensor.Made(name, F32.Type, shape, bytes => fill(MemoryMarshal.Cast<byte, float>(bytes)), madeOf);

    private void RefuseTheRest()
    {
        foreach (var (name, tensor) in _stored)
        {
            if (_used.Contains(name) || UnusedEndings.Any(ending => name.EndsWith(ending, StringComparison.Ordinal)))
                continue;
            // With tied embeddings some write the same matrix twice.
            if (name != "lm_head.weight" || _config.IsTied != true)
            {
                var models = $"{_config.Row.ModelType} models of {Config.NumLayers} layers";
                Fail(name, "there", $"is not known in {models}; answers would be wrong", tensor.File.Path);
            }
        }
    }

    // A model of images and text keeps the latter's tensors under a name.
    private string WithoutPrefix(string name) => !_config.Row.MayHaveImages ? name
        : name.StartsWith("language_model.", StringComparison.Ordinal) ? name["language_model.".Length..]
        : name.StartsWith("model.language_model.", StringComparison.Ordinal) ? $"model.{name["model.language_model.".Length..]}"
        : name;

    private SafetensorsTensor? Fail(string key, string? value, string rule, string source)
    {
        if (_errors.Count < MaxErrors)
            _errors.Add(new InputError(key, value, rule, source));
        return null;
    }

    private delegate void FillFloats(Span<float> values);

    private static string Format(IEnumerable<long> shape) => $"[{string.Join(", ", shape)}]";
}
