using System.Security.Authentication;
using Distributed.Cluster.Protocol;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Cluster;

/// <summary>A failure between two nodes, with the protocol's name for it. The one form in which the code behind the gRPC boundary sees such failures.</summary>
public sealed class StageFailureException : Exception
{
    /// <summary>What the entry of a gRPC error is called that carries the failure.</summary>
    public const string Trailer = "distributed-failure-bin";

    // What a peer sends may be part of a message, and a message is part of headers.
    private const int MaxMessage = 1000;

    /// <param name="failure">What went wrong, where.</param>
    /// <param name="inner">The cause on this node; null where there is none.</param>
    public StageFailureException(Failure failure, Exception? inner = null)
        : base(Describe(Short(failure)), inner) => Failure = Short(failure);

    /// <param name="code">The protocol's name for the failure.</param>
    /// <param name="message">A sentence with the values found and expected.</param>
    /// <param name="worker">The worker concerned.</param>
    /// <param name="stage">The stage concerned; -1 where none is.</param>
    /// <param name="inner">The cause on this node; null where there is none.</param>
    public StageFailureException(FailureCode code, string message, string worker, int stage = -1, Exception? inner = null)
        : this(new Failure { Code = code, Message = message, Worker = worker, Stage = stage }, inner)
    {
    }

    /// <summary>What went wrong, where.</summary>
    public Failure Failure { get; }

    /// <summary>What a call to <paramref name="worker"/> failed with: the failure it sent along, or else the given code.</summary>
    public static StageFailureException From(RpcException error, FailureCode otherwise, string worker, int stage = -1)
    {
        if (error.Trailers.FirstOrDefault(entry => entry.Key == Trailer) is { } entry)
            return new StageFailureException(Failure.Parser.ParseFrom(entry.ValueBytes), error);
        if (WhyNotTrusted(error) is { } reason)
            return new StageFailureException(FailureCode.NotTrusted, $"{worker} and this node do not trust each other: {reason}", worker, stage, error);
        if (IsShutOut(error))
        {
            var told = $"{worker} closed the connection at once, as a node with certificates does to one that shows none, or none it accepts";
            return new StageFailureException(FailureCode.NotTrusted, told, worker, stage, error);
        }

        var message = error.StatusCode is StatusCode.Unavailable or StatusCode.DeadlineExceeded
            ? $"{worker} does not answer ({error.Status.Detail})"
            : $"the call to {worker} failed with {error.StatusCode} ({error.Status.Detail})";
        return new StageFailureException(otherwise, message, worker, stage, error);
    }

    /// <summary>The failure as a gRPC error that carries it.</summary>
    public RpcException ToRpc()
    {
        var status = Failure.Code switch
        {
            FailureCode.OutOfMemory or FailureCode.KvFull => StatusCode.ResourceExhausted,
            FailureCode.WorkerStopping or FailureCode.HopLost or FailureCode.NextUnreachable => StatusCode.Unavailable,
            FailureCode.BadFrame => StatusCode.InvalidArgument,
            FailureCode.StageFailed => StatusCode.Internal,
            _ => StatusCode.FailedPrecondition,
        };
        return new RpcException(new Status(status, Message), new Metadata { { Trailer, ToTrailer() } });
    }

    /// <summary>The value of the entry <see cref="Trailer"/>.</summary>
    public byte[] ToTrailer() => Failure.ToByteArray();

    private static Failure Short(Failure failure)
    {
        if (failure.Message.Length <= MaxMessage && failure.Worker.Length <= MaxMessage)
            return failure;
        var cut = failure.Clone();
        (cut.Message, cut.Worker) = (Cut(cut.Message), Cut(cut.Worker));
        return cut;

        static string Cut(string text) => text.Length <= MaxMessage ? text : text[..MaxMessage] + "…";
    }

    // What TLS found wrong, on either side.
    private static string? WhyNotTrusted(RpcException error)
    {
        for (var cause = error.Status.DebugException; cause is not null; cause = cause.InnerException)
        {
            if (cause is AuthenticationException)
                return cause.InnerException?.Message ?? cause.Message;
        }

        return null;
    }

    private static bool IsShutOut(RpcException error) =>
        error.Status.DebugException is HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse };

    private static string Describe(Failure failure) =>
        failure.Stage >= 0 ? $"stage {failure.Stage} on {failure.Worker}: {failure.Message}" : $"{failure.Worker}: {failure.Message}";
}
