using Distributed.Core.Gguf;

namespace Distributed.Core.Synthetic;

/// <summary>What a file must say of a model so that it can be read again, here and by llama.cpp.</summary>
internal static class SyntheticMetadata
{
    /// <summary>Sets the keys.</summary>
    public static void Write(GgufWriter writer, SyntheticPlan plan)
    {
        var config = plan.Config;
        writer.Set("general.architecture", config.Architecture);
        writer.Set("general.name", $"{config.Name} {plan.Types.Name}, random weights");
        Set("block_count", (uint)config.NumLayers);
        Set("context_length", (uint)config.ContextLength);
        Set("embedding_length", (uint)config.HiddenSize);
        Set("feed_forward_length", (uint)config.IntermediateSize);
        Set("attention.head_count", (uint)config.NumHeads);
        Set("attention.head_count_kv", (uint)config.NumKvHeads);
        Set("attention.key_length", (uint)config.HeadDim);
        Set("attention.value_length", (uint)config.HeadDim);
        Set("attention.layer_norm_rms_epsilon", config.RmsNormEps);
        Set("rope.dimension_count", (uint)config.Rope.Dimensions);
        Set("rope.freq_base", config.Rope.Theta);
        Set("vocab_size", (uint)config.VocabSize);
        if (config.Experts is { } experts)
        {
            Set("expert_count", (uint)experts.Count);
            Set("expert_used_count", (uint)experts.PerToken);
            if (experts.IntermediateSize != config.IntermediateSize || config.Architecture != "llama")
                Set("expert_feed_forward_length", (uint)experts.IntermediateSize);
        }
        if (config.SlidingWindow is { } window)
            Set("attention.sliding_window", (uint)window);

        var vocabulary = SyntheticVocabulary.Create(config.VocabSize);
        writer.Set("tokenizer.ggml.model", vocabulary.Model);
        writer.Set("tokenizer.ggml.tokens", vocabulary.Tokens.ToArray());
        writer.Set("tokenizer.ggml.scores", vocabulary.Scores.ToArray());
        writer.Set("tokenizer.ggml.token_type", vocabulary.Types.Select(type => (int)type).ToArray());
        writer.Set("tokenizer.ggml.unknown_token_id", (uint)vocabulary.UnknownId!);
        writer.Set("tokenizer.ggml.bos_token_id", (uint)vocabulary.BosId!);
        writer.Set("tokenizer.ggml.eos_token_id", (uint)vocabulary.EosId!);

        void Set(string name, object value) => writer.Set($"{config.Architecture}.{name}", value);
    }
}
