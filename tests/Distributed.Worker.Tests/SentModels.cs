namespace Distributed.Worker.Tests;

internal static class SentModels
{
    /// <summary>Makes a request one for a model that the worker has not got, with files of these lengths and headers.</summary>
    public static LoadRequest Sent(this LoadRequest request, params (long Length, long Header)[] files)
    {
        request.ModelPath = "/nowhere/model.gguf";
        request.Model = new ModelOutline();
        request.Model.Parts.Add(files.Select(file => new PartOutline { Length = file.Length, HeaderBytes = file.Header }));
        return request;
    }
}
