using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>
/// hidden += output · attention(rope(q), rope(k), v), where q, k, v come from the normed hidden state:
/// [tokens, HiddenSize] → q [tokens, NumHeads × HeadDim], k and v [tokens, NumKvHeads × HeadDim] → [tokens, HiddenSize].
/// Biases are added wherever the model has them.
/// </summary>
internal sealed class Attention : BranchLayer
{
    private readonly int _layer;
    private readonly Norm? _norm;
    private readonly RotaryAngles? _angles;
    private readonly (Norm Norm, int Width)? _queryNorm;
    private readonly (Norm Norm, int Width)? _keyNorm;
    private readonly AttentionShape _shape;
    private readonly Weight? _sinks;
    private readonly Weight[] _qkv;
    private readonly Weight?[] _biases;
    private readonly Residual _output;

    /// <param name="weights">The stage's weights.</param>
    /// <param name="layer">The layer's number in the model.</param>
    /// <param name="norm">The norm before; null for none.</param>
    /// <param name="angles">What queries and keys are turned by; null for no positions.</param>
    /// <param name="headNorm">Makes the norm of queries or keys from its name, e.g. <c>attn_q_norm</c>; null for none.</param>
    /// <param name="normWholeWidth">The norm of queries and keys runs over all heads together, not over each.</param>
    /// <param name="window">Keys that a query sees; null for all.</param>
    /// <param name="scale">What q·k is multiplied by; null for 1 / √HeadDim.</param>
    /// <param name="softCap">The cap of scores; null for none.</param>
    /// <param name="sinks">A score per head that takes weight but has no value; null for none.</param>
    /// <param name="postNorm">The norm of what is added; null for none.</param>
    /// <param name="residualScale">The factor on what is added.</param>
    public Attention(
        StageWeights weights, int layer, Norm? norm, RotaryAngles? angles, Func<string, Norm>? headNorm = null,
        bool normWholeWidth = false, int? window = null, float? scale = null, float? softCap = null, Weight? sinks = null,
        Norm? postNorm = null, float residualScale = 1)
    {
        var config = weights.Config;
        _layer = layer - weights.Spec.FirstLayer;
        _norm = norm;
        _angles = angles;
        if (headNorm is not null)
        {
            _queryNorm = (headNorm("attn_q_norm"), normWholeWidth ? config.QuerySize : config.HeadDim);
            _keyNorm = (headNorm("attn_k_norm"), normWholeWidth ? config.KvSize : config.HeadDim);
        }
        _shape = new AttentionShape(
            config.NumHeads, config.NumKvHeads, config.HeadDim, scale ?? 1 / MathF.Sqrt(config.HeadDim), window, softCap);
        _sinks = sinks;
        _qkv = [weights[layer, "attn_q.weight"], weights[layer, "attn_k.weight"], weights[layer, "attn_v.weight"]];
        _biases = [weights.Find(layer, "attn_q.bias"), weights.Find(layer, "attn_k.bias"), weights.Find(layer, "attn_v.bias")];
        _output = new Residual(
            weights[layer, "attn_output.weight"], weights.Find(layer, "attn_output.bias"), postNorm, residualScale);
    }

    /// <summary>Computes attention and puts keys and values into the cache.</summary>
    public override void Compute(Workspace work)
    {
        var (backend, batch) = (work.Backend, work.Batch);
        backend.NormMatMul(work.Hidden, batch.Count, _norm, _qkv, work.Qkv);
        for (var i = 0; i < _biases.Length; i++)
            if (_biases[i] is { } bias)
                backend.AddBias(work.Qkv[i], batch.Count, bias);
        if (_queryNorm is ({ } queryNorm, var queryWidth))
            backend.Normalize(work.Queries, batch.Count, queryWidth, queryNorm, work.Queries);
        if (_keyNorm is ({ } keyNorm, var keyWidth))
            backend.Normalize(work.Keys, batch.Count, keyWidth, keyNorm, work.Keys);
        _angles?.Rotate(work, work.Queries);
        _angles?.Rotate(work, work.Keys);
        backend.StoreKv(work.Kv, _layer, batch, work.Keys, work.Values);
        backend.Attention(work.Kv, _layer, batch, _shape, _sinks, work.Queries, work.Attention);
    }

    /// <inheritdoc/>
    public override void Add(Workspace work) => _output.Add(work, work.Attention);
}
