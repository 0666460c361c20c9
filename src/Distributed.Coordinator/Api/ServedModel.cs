using System.Text.RegularExpressions;
using Distributed.Core;

namespace Distributed.Coordinator.Api;

/// <summary>The model under the name the API gives it.</summary>
internal static partial class ServedModel
{
    /// <summary>The model file's name without its ending, and without the number of a shard; the name of a folder as it is.</summary>
    public static string IdOf(ModelFile model) =>
        Directory.Exists(model.Path) ? model.Config.Name : Shard().Replace(Path.GetFileNameWithoutExtension(model.Path), "");

    /// <summary>Whether a client's name for a model means this one: its id, or the name in the file.</summary>
    public static bool IsNamed(ModelFile model, string name) =>
        name.Equals(IdOf(model), StringComparison.OrdinalIgnoreCase) || name.Equals(model.Config.Name, StringComparison.OrdinalIgnoreCase);

    [GeneratedRegex(@"-\d{5}-of-\d{5}$")]
    private static partial Regex Shard();
}
