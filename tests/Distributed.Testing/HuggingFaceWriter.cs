using System.Runtime.InteropServices;
using System.Text.Json;
using Distributed.Core;
using Distributed.Core.Gguf;
using Distributed.Core.Quantization;

namespace Distributed.Testing;

/// <summary>
/// Makes of a GGUF file the folder it could have come from: what converters do, undone, in the layouts of the transformers library.
/// </summary>
public static class HuggingFaceWriter
{
    private static readonly HashSet<string> PermutedTypes = ["llama", "mistral", "mixtral", "granite", "smollm3"];

    // Names that differ between model types, in the order of the types' lists; the common ones follow below.
    private static readonly Dictionary<string, Dictionary<string, string>> Names = new()
    {
        ["mixtral"] = new() { ["ffn_gate_inp"] = "block_sparse_moe.gate", ["experts"] = "block_sparse_moe.experts.{0}.w1 w3 w2" },
        ["qwen3_moe"] = new() { ["ffn_gate_inp"] = "mlp.gate", ["experts"] = "mlp.experts.{0}.gate_proj up_proj down_proj" },
        ["gemma2"] = Gemma(),
        ["gemma3_text"] = Gemma(),
        ["gpt_oss"] = new() { ["ffn_gate_inp"] = "mlp.router", ["post_attention_norm"] = "post_attention_layernorm" },
        ["olmo2"] = Olmo(),
        ["olmo3"] = Olmo(),
        ["starcoder2"] = new() { ["ffn_up"] = "mlp.c_fc", ["ffn_down"] = "mlp.c_proj" },
        ["phi3"] = new() { ["attn_qkv"] = "self_attn.qkv_proj", ["ffn_up"] = "mlp.gate_up_proj" },
        ["glm4"] = new()
        {
            ["post_attention_norm"] = "post_self_attn_layernorm",
            ["post_ffw_norm"] = "post_mlp_layernorm",
            ["ffn_up"] = "mlp.gate_up_proj",
        },
    };

    private static readonly Dictionary<string, string> CommonNames = new()
    {
        ["token_embd"] = "model.embed_tokens",
        ["output_norm"] = "model.norm",
        ["output"] = "lm_head",
        ["attn_norm"] = "input_layernorm",
        ["ffn_norm"] = "post_attention_layernorm",
        ["attn_q"] = "self_attn.q_proj",
        ["attn_k"] = "self_attn.k_proj",
        ["attn_v"] = "self_attn.v_proj",
        ["attn_output"] = "self_attn.o_proj",
        ["attn_q_norm"] = "self_attn.q_norm",
        ["attn_k_norm"] = "self_attn.k_norm",
        ["ffn_gate"] = "mlp.gate_proj",
        ["ffn_up"] = "mlp.up_proj",
        ["ffn_down"] = "mlp.down_proj",
    };

    /// <summary>Writes <c>config.json</c> and the weights.</summary>
    /// <param name="gguf">The model.</param>
    /// <param name="folder">An existing folder.</param>
    /// <param name="modelType">What the folder's <c>model_type</c> is to be.</param>
    /// <param name="floats">The type that float32 tensors are written in; it must hold their values. Null for float32.</param>
    /// <param name="shards">Files of weights.</param>
    /// <param name="change">Changes the config; null for nothing.</param>
    public static void Write(
        string gguf, string folder, string modelType, QuantType? floats = null, int shards = 1, Action<Dictionary<string, object?>>? change = null)
    {
        using var model = ModelFile.Open(gguf);
        var config = HuggingFaceConfigWriter.Of(model, modelType);
        change?.Invoke(config);
        File.WriteAllText(Path.Combine(folder, "config.json"), JsonSerializer.Serialize(config));
        SafetensorsWriter.WriteFolder(folder, Tensors(model, modelType, floats ?? F32.Type), shards);
    }

    /// <summary>A copy of a model whose values are rounded to another type; matrices have it, all else stays float32.</summary>
    public static void Round(string gguf, string path, QuantType type)
    {
        using var file = GgufFile.Open(gguf);
        var writer = new GgufWriter();
        writer.SetAll(file.Metadata);
        var isGemma = file.Metadata.Architecture.StartsWith("gemma", StringComparison.Ordinal);
        foreach (var tensor in file.Tensors.Values)
        {
            // What a folder stores of Gemma's norms is one less.
            var less = isGemma && tensor.Name.EndsWith("norm.weight", StringComparison.Ordinal) ? 1 : 0;
            var rounded = Encode(Array.ConvertAll(Floats(tensor), value => value - less), type);
            var isFloat32 = tensor.Dimensions.Count == 1 || tensor.Name.EndsWith(".bias", StringComparison.Ordinal)
                || tensor.Name.EndsWith("_norm.weight", StringComparison.Ordinal) || tensor.Name.Contains("ffn_gate_inp", StringComparison.Ordinal);
            var values = new float[tensor.Columns * tensor.Rows];
            type.Dequantize(rounded, values);
            var bytes = isFloat32 ? Encode(Array.ConvertAll(values, value => value + less), F32.Type) : rounded;
            writer.Add(tensor.Name, isFloat32 ? F32.Type : type, tensor.Dimensions, stream => stream.Write(bytes));
        }
        writer.Write(path);
    }

    private static List<SafetensorsData> Tensors(ModelFile model, string modelType, QuantType floats)
    {
        var tensors = new List<SafetensorsData>();
        var layers = new Dictionary<string, float[]>();
        foreach (var tensor in model.Tensors.Values)
        {
            // These are made from the config.
            if (tensor.Name.StartsWith("rope_", StringComparison.Ordinal))
                continue;
            var (prefix, stem, suffix) = Split(tensor.Name);
            var values = Floats(tensor);
            long[] shape = [.. tensor.Dimensions.Reverse()];
            if (PermutedTypes.Contains(modelType) && stem is "attn_q" or "attn_k")
                values = Unpermute(values, tensor, model.Config.HeadDim, suffix == ".bias");
            if (modelType.StartsWith("gemma", StringComparison.Ordinal) && stem.EndsWith("norm", StringComparison.Ordinal))
                values = Array.ConvertAll(values, value => value - 1);

            if (modelType == "gpt_oss" && stem.EndsWith("_exps", StringComparison.Ordinal))
                layers[tensor.Name] = values;
            else if (modelType == "gpt_oss" && stem == "attn_sinks")
                Add($"{prefix}self_attn.sinks", shape, values, tensor.Type);
            else if (modelType == "stablelm" && stem is "attn_q_norm" or "attn_k_norm")
                AddEach($"{prefix}self_attn.{stem[5]}_layernorm.norms.{{0}}.weight", shape[1..], values, (int)shape[0], tensor.Type);
            else if (stem.EndsWith("_exps", StringComparison.Ordinal))
                AddEach(prefix + ExpertName(modelType, stem) + suffix, shape[1..], values, (int)shape[0], tensor.Type);
            else
                Add(prefix + NameOf(modelType, stem) + suffix, shape, values, tensor.Type);
        }
        if (modelType == "gpt_oss")
            AddGptOss();
        return tensors;

        void Add(string name, long[] shape, float[] values, QuantType type)
        {
            var stored = type == F32.Type ? floats : type;
            tensors.Add(new SafetensorsData(name, stored.Name, shape, Encode(values, stored)));
        }

        void AddEach(string name, long[] shape, float[] values, int count, QuantType type)
        {
            var size = values.Length / count;
            for (var i = 0; i < count; i++)
                Add(name.Replace("{0}", $"{i}", StringComparison.Ordinal), shape, values[(i * size)..((i + 1) * size)], type);
        }

        void AddGptOss()
        {
            var (hidden, experts) = (model.Config.HiddenSize, model.Config.Experts!);
            for (var layer = 0; layer < model.Config.NumLayers; layer++)
            {
                var (blk, prefix, wide) = ($"blk.{layer}", $"model.layers.{layer}.mlp.experts", 2 * experts.IntermediateSize);
                var matrix = new float[experts.Count * hidden * wide];
                var bias = new float[experts.Count * wide];
                foreach (var (half, name) in new[] { (0, "gate"), (1, "up") })
                {
                    var source = layers[$"{blk}.ffn_{name}_exps.weight"];
                    for (var e = 0; e < experts.Count; e++)
                        for (var row = 0; row < experts.IntermediateSize; row++)
                            for (var column = 0; column < hidden; column++)
                                matrix[(((e * hidden) + column) * wide) + (2 * row) + half] =
                                    source[(((e * experts.IntermediateSize) + row) * hidden) + column];
                    var biases = layers[$"{blk}.ffn_{name}_exps.bias"];
                    for (var i = 0; i < biases.Length; i++)
                        bias[(2 * i) + half] = biases[i];
                }
                var down = layers[$"{blk}.ffn_down_exps.weight"];
                var turned = new float[down.Length];
                for (var e = 0; e < experts.Count; e++)
                    for (var row = 0; row < hidden; row++)
                        for (var column = 0; column < experts.IntermediateSize; column++)
                            turned[(((e * experts.IntermediateSize) + column) * hidden) + row] =
                                down[(((e * hidden) + row) * experts.IntermediateSize) + column];
                Add($"{prefix}.gate_up_proj", [experts.Count, hidden, wide], matrix, F32.Type);
                Add($"{prefix}.gate_up_proj_bias", [experts.Count, wide], bias, F32.Type);
                Add($"{prefix}.down_proj", [experts.Count, experts.IntermediateSize, hidden], turned, F32.Type);
                Add($"{prefix}.down_proj_bias", [experts.Count, hidden], layers[$"{blk}.ffn_down_exps.bias"], F32.Type);
            }
        }
    }

    private static string NameOf(string modelType, string stem) =>
        Names.GetValueOrDefault(modelType)?.GetValueOrDefault(stem) ?? CommonNames[stem];

    private static string ExpertName(string modelType, string stem)
    {
        var parts = Names[modelType]["experts"].Split(' ');
        var (first, last) = (parts[0], parts[0].LastIndexOf('.') + 1);
        return stem switch
        {
            "ffn_gate_exps" => first,
            "ffn_up_exps" => first[..last] + parts[1],
            _ => first[..last] + parts[2],
        };
    }

    private static (string Prefix, string Stem, string Suffix) Split(string name)
    {
        var parts = name.Split('.');
        return parts[0] == "blk" ? ($"model.layers.{parts[1]}.", parts[2], $".{parts[3]}") : ("", parts[0], $".{parts[1]}");
    }

    // Row 2i + j of a head becomes row j × half + i.
    private static float[] Unpermute(float[] values, Tensor tensor, int headDim, bool isBias)
    {
        var columns = isBias ? 1 : (int)tensor.Columns;
        var result = new float[values.Length];
        for (var row = 0; row < values.Length / columns; row++)
        {
            var (head, within) = (row / headDim * headDim, row % headDim);
            var to = head + (within % 2 * headDim / 2) + (within / 2);
            values.AsSpan(row * columns, columns).CopyTo(result.AsSpan(to * columns));
        }
        return result;
    }

    private static float[] Floats(Tensor tensor)
    {
        var values = new float[tensor.Columns * tensor.Rows];
        for (var row = 0; row < tensor.Rows; row++)
            tensor.DequantizeRow(row, values.AsSpan(row * (int)tensor.Columns, (int)tensor.Columns));
        return values;
    }

    private static byte[] Encode(float[] values, QuantType type) =>
        type == F32.Type ? MemoryMarshal.AsBytes(values.AsSpan()).ToArray()
        : type == F16.Type ? MemoryMarshal.AsBytes(Array.ConvertAll(values, value => (Half)value).AsSpan()).ToArray()
        : MemoryMarshal.AsBytes(Array.ConvertAll(values, ToBrain).AsSpan()).ToArray();

    private static ushort ToBrain(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private static Dictionary<string, string> Gemma() => new()
    {
        ["post_attention_norm"] = "post_attention_layernorm",
        ["ffn_norm"] = "pre_feedforward_layernorm",
        ["post_ffw_norm"] = "post_feedforward_layernorm",
    };

    private static Dictionary<string, string> Olmo() => new()
    {
        ["post_attention_norm"] = "post_attention_layernorm",
        ["post_ffw_norm"] = "post_feedforward_layernorm",
    };
}
