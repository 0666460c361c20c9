using System.Collections.Immutable;

namespace Distributed.Grains;

/// <summary>Which sessions there are. There is one directory, with key <see cref="Key"/>.</summary>
[Alias("distributed.ISessionDirectoryGrain")]
public interface ISessionDirectoryGrain : IGrainWithIntegerKey
{
    /// <summary>The directory's key.</summary>
    const long Key = 0;

    /// <summary>How many ended sessions are remembered; the oldest are dropped beyond.</summary>
    const int MaxEnded = 256;

    /// <summary>Enters a session, or its new state.</summary>
    /// <returns>The ended sessions dropped from the directory for it, to be forgotten by whoever entered it.</returns>
    [Alias("Enter")]
    Task<ImmutableArray<string>> EnterAsync(string session, SessionState state);

    /// <summary>The ids of all sessions, in the order in which they were last entered.</summary>
    [Alias("List")]
    Task<ImmutableArray<string>> ListAsync();
}
