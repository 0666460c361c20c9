namespace Distributed.Grains;

/// <summary>The book-keeping of one session; its key is the session's id.</summary>
[Alias("distributed.ISessionGrain")]
public interface ISessionGrain : IGrainWithStringKey
{
    /// <summary>Takes over a newer state of the session.</summary>
    /// <param name="record">The state; its tokens are those from <paramref name="from"/> on.</param>
    /// <param name="from">The position of the record's first token. Tokens kept from earlier writes end there.</param>
    /// <returns>
    /// How many tokens are on record. Fewer than <paramref name="from"/> means that the record was not taken over, because
    /// tokens between are missing: write again from there.
    /// </returns>
    [Alias("Record")]
    Task<int> RecordAsync(SessionRecord record, int from);

    /// <summary>What is known of the session; null when nothing is.</summary>
    [Alias("Get")]
    Task<SessionRecord?> GetAsync();

    /// <summary>Forgets the session.</summary>
    [Alias("Forget")]
    Task ForgetAsync();
}
