using Distributed.Cluster.Protocol;

namespace Distributed.Worker;

/// <summary>What a stage is to do next: a step or a release.</summary>
/// <param name="Step">Tokens or hidden states to compute.</param>
/// <param name="Release">Sequences to free.</param>
/// <param name="AcceptedNs">When the order entered the inbox, on this node's clock, ns.</param>
public sealed record StageOrder(Step? Step, Release? Release, long AcceptedNs);
