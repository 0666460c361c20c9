using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;

namespace Distributed.Worker;

/// <summary>Which stage of which placement this is; every frame is held against it.</summary>
/// <param name="Pipeline">The pipeline's name.</param>
/// <param name="Epoch">The placement's number.</param>
/// <param name="Stage">The stage's index, from 0.</param>
/// <param name="NumStages">Stages of the pipeline.</param>
/// <param name="Worker">The name of this worker.</param>
/// <param name="ModelHash">The model's hash, 32 bytes.</param>
/// <param name="Wire">The format of hidden states between the stages.</param>
public sealed record StageIdentity(
    string Pipeline, long Epoch, int Stage, int NumStages, string Worker, byte[] ModelHash, WireType Wire = WireType.F32)
{
    private const int MaxSender = 100;

    /// <summary>Whether no stage follows.</summary>
    public bool IsLast => Stage == NumStages - 1;

    /// <summary>A failure of this stage.</summary>
    public StageFailureException Fail(FailureCode code, string message, Exception? inner = null) => new(code, message, Worker, Stage, inner);

    /// <summary>Refuses a sender whose version, epoch or model is another one.</summary>
    /// <exception cref="StageFailureException">With both values.</exception>
    public void Check(Hello hello)
    {
        if (hello.Sender.Length > MaxSender)
            throw Fail(FailureCode.BadFrame, $"a Hello has a sender of {hello.Sender.Length} characters, must have at most {MaxSender}");
        CheckVersion(hello.ProtocolVersion, hello.Sender, Worker, Stage);
        CheckEpoch(hello.Epoch, hello.Sender);
        if (!hello.ModelHash.Span.SequenceEqual(ModelHash))
            throw Fail(
                FailureCode.ModelMismatch,
                $"{hello.Sender} has model {Convert.ToHexStringLower(hello.ModelHash.Span)}, this stage {Convert.ToHexStringLower(ModelHash)}");
    }

    /// <summary>Refuses what belongs to another placement.</summary>
    /// <exception cref="StageFailureException">With both epochs.</exception>
    public void CheckEpoch(long epoch, string sender)
    {
        if (epoch != Epoch)
            throw Fail(FailureCode.EpochMismatch, $"{sender} is in epoch {epoch} of pipeline {Pipeline}, this stage in epoch {Epoch}");
    }

    /// <summary>Refuses a sender that speaks another version.</summary>
    /// <exception cref="StageFailureException">With both versions.</exception>
    public static void CheckVersion(uint version, string sender, string worker, int stage)
    {
        if (version != ProtocolVersion.Current)
            throw new StageFailureException(
                FailureCode.ProtocolMismatch, $"{sender} speaks protocol {version}, this worker {ProtocolVersion.Current}", worker, stage);
    }
}
