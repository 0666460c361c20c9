using Distributed.Core;

namespace Distributed.Engine.Models;

/// <summary>The table of architectures: the name in <c>general.architecture</c> and what builds its layers.</summary>
internal static class ModelRegistry
{
    private static readonly Dictionary<string, Func<StageWeights, Model>> Models = new()
    {
        ["llama"] = weights => new LlamaModel(weights),
    };

    /// <summary>Builds the layers of a stage.</summary>
    /// <exception cref="InvalidInputException">The architecture has no row; the error lists those that have.</exception>
    public static Model Create(StageWeights weights) =>
        Models.TryGetValue(weights.Config.Architecture, out var create)
            ? create(weights)
            : throw new InvalidInputException(
                "general.architecture", weights.Config.Architecture, $"must be one of {string.Join(", ", Models.Keys)}");
}
