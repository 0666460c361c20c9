using Distributed.Core.Gguf;
using Distributed.Core.Quantization;

namespace Distributed.Core.Tests.Gguf;

/// <summary>The smallest llama model that is complete: one layer, 32 wide, four tokens.</summary>
internal static class TinyModel
{
    public const int Hidden = 32;
    public const int Vocab = 4;

    /// <summary>The model, to be changed and written.</summary>
    /// <param name="layers">Layers, all the same.</param>
    /// <param name="leaveOut">Tensors and keys not to write.</param>
    public static GgufWriter Create(int layers = 1, params string[] leaveOut)
    {
        var writer = new GgufWriter();
        Set("general.architecture", "llama");
        Set("general.name", "tiny");
        Set("llama.block_count", (uint)layers);
        Set("llama.context_length", 64u);
        Set("llama.embedding_length", (uint)Hidden);
        Set("llama.feed_forward_length", 64u);
        Set("llama.attention.head_count", 2u);
        Set("llama.attention.head_count_kv", 1u);
        Set("llama.attention.layer_norm_rms_epsilon", 1e-5f);
        Set("tokenizer.ggml.model", "llama");
        Set("tokenizer.ggml.tokens", new[] { "<unk>", "▁", "a", "▁a" });
        Set("tokenizer.ggml.scores", new[] { 0f, -1f, -2f, -3f });
        Set("tokenizer.ggml.token_type", new[] { 2, 1, 1, 1 });
        Add("token_embd.weight", Hidden, Vocab);
        Add("output_norm.weight", Hidden);
        Add("output.weight", Hidden, Vocab);
        Add("rope_freqs.weight", 8);
        for (var layer = 0; layer < layers; layer++)
        {
            Add($"blk.{layer}.attn_norm.weight", Hidden);
            Add($"blk.{layer}.attn_q.weight", Hidden, 32);
            Add($"blk.{layer}.attn_k.weight", Hidden, 16);
            Add($"blk.{layer}.attn_v.weight", Hidden, 16);
            Add($"blk.{layer}.attn_output.weight", 32, Hidden);
            Add($"blk.{layer}.ffn_norm.weight", Hidden);
            Add($"blk.{layer}.ffn_gate.weight", Hidden, 64);
            Add($"blk.{layer}.ffn_up.weight", Hidden, 64);
            Add($"blk.{layer}.ffn_down.weight", 64, Hidden);
        }

        return writer;

        void Set(string key, object value)
        {
            if (!leaveOut.Contains(key))
                writer.Set(key, value);
        }

        void Add(string name, params long[] shape)
        {
            if (!leaveOut.Contains(name))
                writer.AddZeros(name, shape.Length == 1 ? F32.Type : Q8_0.Type, shape);
        }
    }

    /// <summary>Adds a tensor whose bytes are all zero.</summary>
    public static void AddZeros(this GgufWriter writer, string name, QuantType type, params long[] shape) =>
        writer.Add(name, type, shape, stream =>
            stream.Write(new byte[type.RowBytes(shape[0]) * shape.Skip(1).Aggregate(1L, (product, dimension) => product * dimension)]));

    /// <summary>The file as bytes.</summary>
    public static byte[] ToArray(this GgufWriter writer)
    {
        using var stream = new MemoryStream();
        writer.Write(stream);
        return stream.ToArray();
    }
}
