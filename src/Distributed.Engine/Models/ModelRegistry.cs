using Distributed.Core;

namespace Distributed.Engine.Models;

/// <summary>The table of architectures: the name in <c>general.architecture</c> and what builds its layers.</summary>
internal static class ModelRegistry
{
    private static readonly Dictionary<string, Func<StageWeights, Model>> Models = new()
    {
        ["llama"] = LlamaModel.Build,
        ["qwen2"] = Qwen2Model.Build,
        ["qwen3"] = Qwen3Model.Build,
        ["qwen3moe"] = Qwen3Model.Build,
        ["phi3"] = Phi3Model.Build,
        ["gemma2"] = Gemma2Model.Build,
        ["gemma3"] = Gemma3Model.Build,
        ["gpt-oss"] = GptOssModel.Build,
        ["olmo2"] = Olmo2Model.Build,
        ["smollm3"] = SmolLm3Model.Build,
        ["granite"] = GraniteModel.Build,
        ["starcoder2"] = StarCoder2Model.Build,
        ["stablelm"] = StableLmModel.Build,
        ["glm4"] = Glm4Model.Build,
        ["command-r"] = CohereModel.BuildCommandR,
        ["cohere2"] = CohereModel.BuildCohere2,
    };

    /// <summary>Builds the layers of a stage.</summary>
    /// <exception cref="InvalidInputException">The architecture has no row; the error lists those that have.</exception>
    public static Model Create(StageWeights weights) =>
        Models.TryGetValue(weights.Config.Architecture, out var create)
            ? create(weights)
            : throw new InvalidInputException(
                "general.architecture", weights.Config.Architecture, $"must be one of {string.Join(", ", Models.Keys)}");
}
