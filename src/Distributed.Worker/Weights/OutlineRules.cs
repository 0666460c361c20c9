using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;

namespace Distributed.Worker.Weights;

/// <summary>Holds a request's outline of a model against its rules before anything is made by its numbers.</summary>
internal static class OutlineRules
{
    private const int HashBytes = 32;
    private const long MaxFileBytes = 1L << 44;
    private const long MaxHeaders = 1L << 30;

    /// <summary>Checks the hash and the outline.</summary>
    /// <exception cref="StageFailureException">One breaks a rule; the message names the value.</exception>
    public static void Check(LoadRequest request, string worker)
    {
        var (outline, least) = (request.Model, request.Model.Format == ModelOutline.Types.Format.HuggingFace ? 2 : 1);
        Require(request.ModelHash.Length == HashBytes, "model_hash", $"{request.ModelHash.Length} bytes", $"must have {HashBytes}");
        Require(Enum.IsDefined(outline.Format), "model.format", $"{outline.Format}", "must be GGUF or HUGGING_FACE");
        Require(
            outline.Parts.Count >= least && outline.Parts.Count <= ModelParts.MaxFiles,
            "model.parts", $"{outline.Parts.Count} files", $"must be {least} to {ModelParts.MaxFiles}");
        foreach (var (i, part) in outline.Parts.Index())
        {
            Require(part.Length is > 0 and <= MaxFileBytes, $"model.parts[{i}].length", $"{part.Length}", $"must lie between 1 and {MaxFileBytes}");
            var most = Math.Min(part.Length, ModelParts.MaxHeaderBytes);
            Require(
                part.HeaderBytes > 0 && part.HeaderBytes <= most,
                $"model.parts[{i}].header_bytes", $"{part.HeaderBytes}", $"must lie between 1 and {most}");
        }

        var headers = outline.Parts.Sum(part => part.HeaderBytes);
        Require(headers <= MaxHeaders, "model.parts", $"{headers} bytes of headers", $"must be at most {MaxHeaders}");

        void Require(bool holds, string key, string value, string rule)
        {
            if (!holds)
                throw new StageFailureException(FailureCode.BadFrame, $"{new InputError(key, value, rule)}", worker, request.Stage);
        }
    }
}
