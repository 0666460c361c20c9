using System.Security.Cryptography;
using System.Text.Json;
using Distributed.Core.Safetensors;
using Distributed.Core.Tokenization;

namespace Distributed.Core.HuggingFace;

/// <summary>
/// A model as it lies on Hugging Face: a folder with <c>config.json</c>, <c>tokenizer.json</c> and safetensors, mapped and used in
/// place. A folder without weights is a vocabulary alone, like a GGUF without tensors.
/// </summary>
internal sealed class HuggingFaceFolder : ModelSource
{
    /// <summary>The file that says what model it is.</summary>
    public const string ConfigName = "config.json";

    private const string WeightsRule = $"must be {SafetensorsSet.SingleName}, or {SafetensorsSet.IndexName} and its shards";
    private const int HashedTensorBytes = 4096;

    private static readonly string[] OtherWeights = [".bin", ".pt", ".pth", ".h5", ".msgpack", ".npz", ".safetensors"];

    private readonly JsonElement _json;
    private readonly byte[] _configBytes;
    private readonly SafetensorsSet? _weights;
    private readonly Lazy<HuggingFaceConfig> _config;
    private readonly Lazy<IReadOnlyDictionary<string, Tensor>> _tensors;

    private HuggingFaceFolder(string path, Func<SafetensorsSet?> openWeights)
    {
        Path = path;
        var config = System.IO.Path.Combine(path, ConfigName);
        if (!File.Exists(config))
            throw new InvalidInputException("model", path, $"must be a folder with {ConfigName}, or a GGUF file");
        _json = JsonFile.Read(config, out _configBytes);
        // A folder may have a name that ends like a file's, but none that ends with a separator.
        var name = System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path)));
        _config = new(() => HuggingFaceConfig.Read(_json, config, name));
        _weights = openWeights();
        if (_weights is null)
            RefuseOtherWeights();
        _tensors = new(() => _weights is null
            ? new Dictionary<string, Tensor>()
            : HuggingFaceTensors.Map(_config.Value, _weights, path));
    }

    /// <summary>The folder.</summary>
    public override string Path { get; }

    /// <inheritdoc/>
    public override string Format => "Hugging Face safetensors";

    /// <summary>Bytes of the files of weights.</summary>
    public override long Bytes => _weights?.Files.Sum(file => file.Length) ?? 0;

    /// <inheritdoc/>
    public override int Shards => _weights?.Files.Count ?? 0;

    /// <inheritdoc/>
    public override ModelFormat? FileFormat => ModelFormat.HuggingFace;

    /// <summary><c>config.json</c>, which is all header, then the files of weights.</summary>
    public override IReadOnlyList<ModelPart> Files =>
    [
        new(System.IO.Path.Combine(Path, ConfigName), _configBytes.Length, _configBytes.Length),
        .. (_weights?.Files ?? []).Select(file => new ModelPart(file.Path, file.Length, file.HeaderBytes.Length)),
    ];

    /// <summary>The keys of <c>config.json</c>; those of an object inside it behind its own and a dot.</summary>
    public override IEnumerable<KeyValuePair<string, object>> Entries => Flatten("", _json).DistinctBy(entry => entry.Key);

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, Tensor> Tensors => _tensors.Value;

    /// <inheritdoc/>
    public override string? ChatTemplate => HuggingFaceChatTemplate.Find(Path);

    /// <summary>Opens a folder.</summary>
    /// <exception cref="InvalidInputException">It has no config, no weights this build reads, or a broken file.</exception>
    public static new HuggingFaceFolder Open(string path) => new(path, () => SafetensorsSet.Open(path));

    /// <summary>Opens a folder whose files of weights have names of their own.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="weights">Their paths, in order.</param>
    /// <exception cref="InvalidInputException">It has no config, or a broken file.</exception>
    public static HuggingFaceFolder Open(string path, IReadOnlyList<string> weights) => new(path, () => SafetensorsSet.Open(weights));

    /// <inheritdoc/>
    public override ModelConfig ReadConfig() => _weights is not null
        ? _config.Value.Model
        : throw new InvalidInputException("weights", null, $"are missing; they {WeightsRule}", Path);

    /// <inheritdoc/>
    public override Vocabulary ReadVocabulary() => HuggingFaceVocabulary.Read(Path, _json);

    /// <summary>The config, and of each file the length, the header and the first 4 KiB of each tensor.</summary>
    public override unsafe void AppendTo(IncrementalHash hash)
    {
        hash.AppendData(_configBytes);
        foreach (var file in _weights?.Files ?? [])
        {
            hash.AppendData(BitConverter.GetBytes(file.Length));
            hash.AppendData(file.HeaderBytes);
            foreach (var tensor in file.Tensors)
                hash.AppendData(new ReadOnlySpan<byte>(tensor.Data, (int)Math.Min(tensor.Bytes, HashedTensorBytes)));
        }
    }

    /// <inheritdoc/>
    public override void Dispose() => _weights?.Dispose();

    private void RefuseOtherWeights()
    {
        var other = Directory.EnumerateFiles(Path).Select(file => System.IO.Path.GetFileName(file)).Order(StringComparer.Ordinal)
            .FirstOrDefault(name => OtherWeights.Contains(System.IO.Path.GetExtension(name)));
        if (other is not null)
            throw new InvalidInputException(
                "weights", other, $"is not read: they {WeightsRule}", Path);
    }

    private static IEnumerable<KeyValuePair<string, object>> Flatten(string prefix, JsonElement json)
    {
        foreach (var entry in json.EnumerateObject())
            if (entry.Value.ValueKind == JsonValueKind.Object)
                foreach (var inner in Flatten($"{prefix}{entry.Name}.", entry.Value))
                    yield return inner;
            else
                yield return KeyValuePair.Create(prefix + entry.Name, Value(entry.Value));
    }

    private static object Value(JsonElement json) => json.ValueKind switch
    {
        JsonValueKind.String => json.GetString()!,
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Array => json.EnumerateArray().Select(Value).ToArray(),
        JsonValueKind.Number when json.TryGetInt64(out var integer) => integer,
        JsonValueKind.Number when json.TryGetDouble(out var number) && double.IsFinite(number) => number,
        _ => json.GetRawText(),
    };
}
