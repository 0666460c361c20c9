using System.Globalization;

namespace Distributed.Coordinator.Recovery;

/// <summary>What a coordinator found of the one before it.</summary>
/// <param name="LastEpoch">The epoch of that one's last placement.</param>
/// <param name="Epoch">The epoch that goes on; the same where the stages were still there.</param>
/// <param name="Reason">Why the stages were loaded anew; null where they were not.</param>
/// <param name="Sessions">Sessions that go on.</param>
/// <param name="KnownTokens">Their tokens on record.</param>
/// <param name="KeptTokens">How many of them are still in the KV cache of every stage; the others are computed again when they are asked for.</param>
/// <param name="Milliseconds">How long it took until requests could be answered again, from the start of the program's work.</param>
public sealed record RestartReport(
    long LastEpoch, long Epoch, string? Reason, int Sessions, int KnownTokens, int KeptTokens, double Milliseconds)
{
    /// <summary>One line for people.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{(Reason is null ? $"epoch {Epoch} goes on with the stages on the workers" : $"epoch {Epoch} in place of {LastEpoch}, {Reason}")} · "
        + $"{Sessions} sessions of {KnownTokens} tokens, {KeptTokens} of them still in the KV cache, {KnownTokens - KeptTokens} to be "
        + $"computed again when they are asked for · after {Milliseconds:0} ms");
}
