using Distributed.Core;

namespace Distributed.Engine.Models;

/// <summary>The weights of a stage on its device, by name, with what a model needs to know to put its layers together.</summary>
/// <param name="config">The model's shape.</param>
/// <param name="spec">The stage.</param>
/// <param name="weights">By tensor name.</param>
internal sealed class StageWeights(ModelConfig config, StageSpec spec, IReadOnlyDictionary<string, Weight> weights)
{
    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; } = config;

    /// <summary>The stage.</summary>
    public StageSpec Spec { get; } = spec;

    /// <summary>A weight by its tensor's full name.</summary>
    public Weight this[string name] => weights[name];

    /// <summary>A weight of a layer, by its name without <c>blk.N.</c>.</summary>
    /// <param name="layer">Counted from the model's first layer.</param>
    /// <param name="name">E.g. <c>attn_q.weight</c>.</param>
    public Weight this[int layer, string name] => weights[$"blk.{layer}.{name}"];

    /// <summary>A weight that a model may lack.</summary>
    public Weight? Find(string name) => weights.GetValueOrDefault(name);

    /// <summary>A weight of a layer that a model may lack.</summary>
    public Weight? Find(int layer, string name) => Find($"blk.{layer}.{name}");

    /// <summary>An RMS norm of a layer, by its weight's name without <c>.weight</c>.</summary>
    public Norm RmsNorm(int layer, string name) => new(this[layer, $"{name}.weight"], Config.RmsNormEps);

    /// <summary>A LayerNorm of a layer, by its weight's name without <c>.weight</c>, with its bias where the model has one.</summary>
    public Norm LayerNorm(int layer, string name) =>
        new(this[layer, $"{name}.weight"], Config.RmsNormEps, IsCentred: true, Find(layer, $"{name}.bias"));

    /// <summary>The LayerNorm behind the last layer, with its bias where the model has one.</summary>
    public Norm FinalLayerNorm() =>
        new(this[TensorNames.OutputNorm], Config.RmsNormEps, IsCentred: true, Find(TensorNames.OutputNormBias));

    /// <summary>An RMS norm by its weight's full name.</summary>
    public Norm RmsNorm(string name) => new(this[name], Config.RmsNormEps);
}
