using Distributed.Cluster;
using Distributed.Cluster.Protocol;

namespace Distributed.Coordinator.Scheduling;

/// <summary>What somebody whose request failed can do about it.</summary>
internal static class FailureAdvice
{
    /// <summary>The failure with the advice behind its message.</summary>
    public static StageFailureException For(Failure failure, Exception? inner = null)
    {
        var advised = failure.Clone();
        advised.Message = $"{failure.Message}; {Advice(failure)}";
        return new StageFailureException(advised, inner);
    }

    private static string Advice(Failure failure) => failure.Code switch
    {
        FailureCode.HopLost or FailureCode.NextUnreachable or FailureCode.WorkerStopping =>
            $"see that the worker {failure.Worker} runs and can be reached, then ask again",
        FailureCode.KvFull => "lower context or sequences, or give the stage more memory",
        FailureCode.OutOfMemory => "give the device more memory, or lower context, sequences or max-batch-tokens",
        _ => $"the worker {failure.Worker} may have written more about it; ask again, or start the coordinator again",
    };
}
