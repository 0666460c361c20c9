namespace Distributed.Testing;

/// <summary>Where the tests find the files of the project, whatever folder they are started in.</summary>
public static class Repository
{
    /// <summary>The folder with Distributed.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The sample model that ships with the command line.</summary>
    public static string SampleModel => Path("src/Distributed.Cli/Sample/tales-5m-q8_0.gguf");

    /// <summary>The program as its own project built it, with code compiled beforehand, which the copies beside the tests have not.</summary>
    public static string Program { get; } = FindProgram();

    /// <summary>A file of the project by its path from the root.</summary>
    public static string Path(string relative) => System.IO.Path.GetFullPath(System.IO.Path.Combine(Root, relative));

    // The tests lie in bin/CONFIGURATION/FRAMEWORK of their own project, the program in that of its own.
    private static string FindProgram()
    {
        var framework = new DirectoryInfo(System.IO.Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory));
        return Path($"src/Distributed.Cli/bin/{framework.Parent!.Name}/{framework.Name}/distributed");
    }

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "Distributed.sln")))
                return folder.FullName;
        throw new InvalidOperationException($"no folder above {AppContext.BaseDirectory} has Distributed.sln");
    }
}
