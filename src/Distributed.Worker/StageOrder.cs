using Distributed.Cluster.Protocol;

namespace Distributed.Worker;

/// <summary>What a stage is to do next: a step, a release, or something between the steps.</summary>
/// <param name="Step">Tokens or hidden states to compute.</param>
/// <param name="Release">Sequences to free.</param>
/// <param name="AcceptedNs">When the order entered the inbox, on this node's clock, ns.</param>
/// <param name="Aside">What is to be done besides, which throws nothing; null for a step or a release.</param>
/// <param name="Stream">Which of the streams that feed the stage, one after the other, it came on.</param>
public sealed record StageOrder(Step? Step, Release? Release, long AcceptedNs, Action? Aside = null, int Stream = 0);
