using System.Diagnostics;
using Distributed.Engine.Layers;

namespace Distributed.Engine.Models;

/// <summary>
/// An architecture's layers on one stage. Its parts are shared (<see cref="Layers"/>); a file per architecture says which, with what
/// options and in what order.
/// </summary>
internal sealed class Model
{
    private readonly Embedding? _embedding;
    private readonly RotaryAngles[] _angles;
    private readonly Layer[] _layers;
    private readonly int[] _layerEnds;
    private readonly LmHead? _head;

    /// <param name="weights">The stage's weights.</param>
    /// <param name="embedding">Makes the embedding; called on the first stage only.</param>
    /// <param name="angles">The rotary angles that the layers use.</param>
    /// <param name="layer">Makes the parts of a layer from its number in the model; called for each of the stage.</param>
    /// <param name="head">Makes the head; called on the last stage only.</param>
    public Model(
        StageWeights weights, Func<Embedding> embedding, RotaryAngles[] angles, Func<int, Layer[]> layer, Func<LmHead> head)
    {
        var spec = weights.Spec;
        _embedding = spec.HasEmbedding ? embedding() : null;
        _angles = angles;
        var layers = new List<Layer>();
        _layerEnds = new int[spec.NumLayers];
        for (var i = 0; i < spec.NumLayers; i++)
        {
            layers.AddRange(layer(spec.FirstLayer + i));
            _layerEnds[i] = layers.Count;
        }
        _layers = [.. layers];
        _head = spec.HasHead ? head() : null;
    }

    /// <summary>Fills the hidden states from the batch's token ids; on the first stage only.</summary>
    public void Embed(Workspace work) => _embedding!.Forward(work);

    /// <summary>Runs the stage's layers over the hidden states of the batch.</summary>
    /// <param name="work">The batch and its buffers.</param>
    /// <param name="ends">
    /// Gets the moment when each layer ended, in ticks of <see cref="Stopwatch"/>; empty to read no clock.
    /// </param>
    public void RunLayers(Workspace work, Span<long> ends)
    {
        if (_layers.Length == 0)
            return;
        foreach (var angles in _angles)
            angles.Upload(work);
        if (ends.IsEmpty)
        {
            foreach (var layer in _layers)
                layer.Forward(work);
            return;
        }

        var part = 0;
        for (var layer = 0; layer < ends.Length; layer++)
        {
            for (; part < _layerEnds[layer]; part++)
                _layers[part].Forward(work);
            ends[layer] = Stopwatch.GetTimestamp();
        }
    }

    /// <summary>Computes the logits of the batch's outputs, [outputs, VocabSize]; on the last stage only.</summary>
    public void ComputeLogits(Workspace work, Span<float> logits) => _head!.Forward(work, logits);
}
