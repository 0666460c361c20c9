namespace Distributed.Core.Synthetic;

/// <summary>The table of shapes that have a name: those of published models.</summary>
public static class SyntheticShapes
{
    /// <summary>Every shape.</summary>
    public static IReadOnlyList<SyntheticShape> All { get; } =
    [
        // TinyLlama 1.1B.
        new("llama-1b", "llama", 22, 2048, 5632, 32, 4, 32_000, 2048),
        // Llama 3.2 1B and 3B, 3.1 8B and 70B.
        new("llama-3.2-1b", "llama", 16, 2048, 8192, 32, 8, 128_256, 131_072) { RopeTheta = 500_000, IsTied = true },
        new("llama-3b", "llama", 28, 3072, 8192, 24, 8, 128_256, 131_072) { RopeTheta = 500_000, IsTied = true },
        new("llama-8b", "llama", 32, 4096, 14_336, 32, 8, 128_256, 131_072) { RopeTheta = 500_000 },
        new("llama-70b", "llama", 80, 8192, 28_672, 64, 8, 128_256, 131_072) { RopeTheta = 500_000 },
        new("mistral-7b", "llama", 32, 4096, 14_336, 32, 8, 32_768, 32_768) { RopeTheta = 1_000_000 },
        new("mixtral-8x7b", "llama", 32, 4096, 14_336, 32, 8, 32_000, 32_768) { RopeTheta = 1_000_000, Experts = 8, ExpertsPerToken = 2 },
        Qwen3("qwen3-0.6b", 28, 1024, 3072, 16, 8) with { IsTied = true },
        Qwen3("qwen3-4b", 36, 2560, 9728, 32, 8) with { IsTied = true },
        Qwen3("qwen3-8b", 36, 4096, 12_288, 32, 8),
        Qwen3("qwen3-30b-a3b", 48, 2048, 6144, 32, 4) with
        {
            Architecture = "qwen3moe", Experts = 128, ExpertsPerToken = 8, ExpertFfn = 768,
        },
        new("gpt-oss-20b", "gpt-oss", 24, 2880, 2880, 64, 8, 201_088, 131_072)
        {
            RopeTheta = 150_000, HeadDim = 64, Experts = 32, ExpertsPerToken = 4, Window = 128,
        },
    ];

    private static SyntheticShape Qwen3(string name, int layers, int hidden, int ffn, int heads, int kv) =>
        new(name, "qwen3", layers, hidden, ffn, heads, kv, 151_936, 40_960) { RopeTheta = 1_000_000, RmsNormEps = 1e-6f, HeadDim = 128 };
}
