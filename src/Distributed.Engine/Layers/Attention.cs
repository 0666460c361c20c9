using Distributed.Core;
using Distributed.Engine.Models;

namespace Distributed.Engine.Layers;

/// <summary>
/// hidden += output · attention(rope(q), rope(k), v), where q, k, v come from the normed hidden state:
/// [tokens, HiddenSize] → q [tokens, NumHeads × HeadDim], k and v [tokens, NumKvHeads × HeadDim] → [tokens, HiddenSize].
/// </summary>
internal sealed class Attention(StageWeights weights, int layer)
{
    private readonly int _layer = layer - weights.Spec.FirstLayer;
    private readonly float _eps = weights.Config.RmsNormEps;
    private readonly RopePairs _pairs = weights.Config.Rope.Pairs;
    private readonly Weight _norm = weights[layer, "attn_norm.weight"];
    private readonly Weight _output = weights[layer, "attn_output.weight"];
    private readonly Weight[] _qkv =
        [weights[layer, "attn_q.weight"], weights[layer, "attn_k.weight"], weights[layer, "attn_v.weight"]];

    /// <summary>Adds the layer's attention to the hidden states of the batch and its keys and values to the cache.</summary>
    public void Forward(Workspace work)
    {
        var (backend, batch) = (work.Backend, work.Batch);
        backend.NormMatMul(work.Hidden, batch.Count, _norm, _eps, _qkv, work.Qkv);
        backend.Rope(work.Queries, batch.Count, work.Shape.HeadDim, work.Cos, work.Sin, _pairs);
        backend.Rope(work.Keys, batch.Count, work.Shape.HeadDim, work.Cos, work.Sin, _pairs);
        backend.StoreKv(work.Kv, _layer, batch, work.Keys, work.Values);
        backend.Attention(work.Kv, _layer, batch, work.Shape, work.Queries, work.Attention);
        backend.MatMulAdd(work.Attention, batch.Count, _output, work.Hidden);
    }
}
