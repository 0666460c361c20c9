namespace Distributed.Core;

/// <summary>A tensor that a stage loads.</summary>
/// <param name="Tensor">The tensor.</param>
/// <param name="Role">Why the stage needs it.</param>
/// <param name="Layer">The layer of a repeating one, counted from the model's first; null for others.</param>
public sealed record StageTensor(Tensor Tensor, TensorRole Role, int? Layer);

/// <summary>Which tensors of a model a stage loads.</summary>
public static class StageTensors
{
    /// <summary>The tensors of a stage; see the overload.</summary>
    public static IReadOnlyList<StageTensor> For(ModelFile model, StageSpec stage) =>
        For(model, stage.FirstLayer, stage.EndLayer, stage.HasEmbedding, stage.HasHead);

    /// <summary>
    /// The tensors of a stage, each once: embedding, shared, layer by layer, head. A head without a matrix of its own gets the
    /// embedding, in the role <see cref="TensorRole.Output"/>, unless the same stage has it already.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="firstLayer">The first layer, from 0.</param>
    /// <param name="endLayer">One past the last; equal to <paramref name="firstLayer"/> for none.</param>
    /// <param name="hasEmbedding">The stage takes token ids.</param>
    /// <param name="hasHead">The stage gives logits.</param>
    /// <exception cref="ArgumentOutOfRangeException">The model has no such layers.</exception>
    public static IReadOnlyList<StageTensor> For(ModelFile model, int firstLayer, int endLayer, bool hasEmbedding, bool hasHead)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(firstLayer);
        ArgumentOutOfRangeException.ThrowIfLessThan(endLayer, firstLayer);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(endLayer, model.Config.NumLayers);
        var loaded = new OrderedDictionary<string, StageTensor>();
        if (hasEmbedding)
            Add(TensorRole.Input, null);
        if (endLayer > firstLayer)
            Add(TensorRole.Shared, null);
        for (var layer = firstLayer; layer < endLayer; layer++)
            Add(TensorRole.Repeating, layer);
        if (hasHead)
            Add(TensorRole.Output, null);
        return [.. loaded.Values];

        void Add(TensorRole role, int? layer)
        {
            foreach (var spec in model.Architecture.Tensors)
            {
                if (spec.Role != role)
                    continue;
                var tensor = model.Tensors.GetValueOrDefault(spec.NameIn(layer ?? 0))
                    ?? (spec.Substitute is { } substitute ? model.Tensors[substitute] : null);
                if (tensor is null)
                    continue;
                foreach (var part in spec.Split(tensor, model.Config, layer ?? 0))
                    loaded.TryAdd(part.Name, new StageTensor(part, role, layer));
            }
        }
    }
}
