using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Worker;

/// <summary>Holds a load request against the model before anything is allocated by its numbers.</summary>
public static class StageRequest
{
    /// <summary>The format of hidden states between the stages, f32 where the request names none; null where it names an unknown one.</summary>
    public static WireType? WireOf(LoadRequest request) => request.Wire is "" ? WireType.F32
        : WireTypes.ByName.TryGetValue(request.Wire, out var wire) ? wire : null;

    /// <summary>The stage the request asks for.</summary>
    /// <exception cref="StageFailureException">A number breaks its rule; the message names all that do.</exception>
    public static StageSpec ToSpec(LoadRequest request, ModelConfig model, string worker)
    {
        var errors = new List<string>();
        Require(request.Pipeline.Length is > 0 and <= 100, "pipeline", request.Pipeline.Length, "must have 1 to 100 characters");
        Require(request.Worker.Length <= 100, "worker", request.Worker.Length, "must have at most 100 characters");
        Require(request.NumStages is > 0 and <= 1024, "num_stages", request.NumStages, "must lie between 1 and 1024");
        Require(request.Stage >= 0 && request.Stage < request.NumStages, "stage", request.Stage, $"must lie below num_stages, {request.NumStages}");
        Require(
            request.FirstLayer >= 0 && request.FirstLayer <= request.EndLayer && request.EndLayer <= model.NumLayers,
            "layers", $"[{request.FirstLayer}, {request.EndLayer})", $"must lie within the model's {model.NumLayers} layers");
        Require(request.Context > 0 && request.Context <= model.ContextLength, "context", request.Context, $"must lie between 1 and {model.ContextLength}");
        Require(
            request.MaxBatchTokens is > 0 and <= StageSpec.LargestBatch,
            "max_batch_tokens", request.MaxBatchTokens, $"must lie between 1 and {StageSpec.LargestBatch}");
        Require(request.KvBlocks is > 0 and <= 1 << 24, "kv_blocks", request.KvBlocks, $"must lie between 1 and {1 << 24}");
        var kvType = KvTypes.TryParse(request.KvType);
        Require(kvType is not null, "kv_type", request.KvType, "must be f32, f16 or q8_0");
        var wire = WireOf(request);
        Require(wire is not null, "wire", request.Wire, $"must be one of {string.Join(", ", WireTypes.ByName.Keys)}");
        if (wire?.Error(model.HiddenSize) is { } wireError)
            errors.Add(wireError.ToString());
        Require(
            request.Stage == request.NumStages - 1 || NodeAddress.TryParse(request.NextAddress) is not null,
            "next_address", request.NextAddress, NodeAddress.Rule);
        Require(
            request.FailureTimeoutMs is >= 0 and <= 86400_000,
            "failure_timeout_ms", request.FailureTimeoutMs, "must lie between 0 and 86400000");
        Require(request.LeaseMs is >= 0 and <= 86400_000, "lease_ms", request.LeaseMs, "must lie between 0 and 86400000");
        Require(request.NextLink is "" || LinkShape.TryParse(request.NextLink, out _), "next_link", request.NextLink, LinkShape.Rule);
        if (errors.Count > 0)
            throw new StageFailureException(FailureCode.BadFrame, string.Join("; ", errors), worker, request.Stage);

        return new StageSpec(
            request.FirstLayer,
            request.EndLayer,
            request.Stage == 0,
            request.Stage == request.NumStages - 1,
            request.MaxBatchTokens,
            kvType!.Value,
            request.KvBlocks,
            request.Context);

        void Require(bool holds, string key, object value, string rule)
        {
            if (!holds)
                errors.Add(new InputError(key, value.ToString(), rule).ToString());
        }
    }
}
