using Xunit;

namespace Distributed.Testing;

/// <summary>Reference data beside the project, which not every checkout has: real vocabularies and templates.</summary>
public static class SharedGolden
{
    /// <summary>Why a test is skipped; null where the data is there.</summary>
    public static string? SkipReason => Directory.Exists(Root) ? null : "needs ../shared/golden beside the project";

    /// <summary>The folder of the reference data; it may not exist.</summary>
    public static string Root => Repository.Path("../shared/golden");

    /// <summary>A file by its path below <see cref="Root"/>.</summary>
    public static string Path(string relative) => System.IO.Path.Combine(Root, relative);

    /// <summary>Files below <see cref="Root"/> that match a pattern, sorted; none where the folder is absent.</summary>
    /// <param name="folder">E.g. <c>tokenizers</c>.</param>
    /// <param name="pattern">E.g. <c>*.json</c>.</param>
    public static IEnumerable<string> Files(string folder, string pattern) =>
        Directory.Exists(Path(folder)) ? Directory.EnumerateFiles(Path(folder), pattern).Order(StringComparer.Ordinal) : [];
}

/// <summary>A test of data in <see cref="SharedGolden"/>; skipped, by name, where that is absent.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SharedFactAttribute : FactAttribute
{
    public SharedFactAttribute() => Skip = SharedGolden.SkipReason;
}

/// <summary>A theory over data in <see cref="SharedGolden"/>; skipped, by name, where that is absent.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SharedTheoryAttribute : TheoryAttribute
{
    public SharedTheoryAttribute() => Skip = SharedGolden.SkipReason;
}
