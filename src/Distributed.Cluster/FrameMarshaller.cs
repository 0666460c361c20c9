using System.Buffers;
using Distributed.Cluster.Protocol;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Cluster;

/// <summary>
/// Reads frames of a Forward stream as protobuf does, but takes hidden states into a pooled buffer: the generated parser would
/// make new garbage of their size for every step.
/// </summary>
public static class FrameMarshaller
{
    private const byte StepTag = (StageFrame.StepFieldNumber << 3) | LengthDelimited;
    private const int HiddenTag = (Step.HiddenFieldNumber << 3) | LengthDelimited;
    private const int LengthDelimited = 2;

    // Of all but hidden states. A few bytes may stand for an object, so this bounds what a frame can be blown up to.
    private const int MaxOtherBytes = 8 << 20;

    /// <summary>The Forward stream with this way of reading its frames.</summary>
    public static Method<StageFrame, StageReply> Forward { get; } = new(
        MethodType.DuplexStreaming, StageService.Descriptor.FullName, nameof(StageService.StageServiceClient.Forward),
        Marshallers.Create<StageFrame>(Write, context => Read(context.PayloadAsReadOnlySequence())),
        Marshallers.Create<StageReply>(Write, context => StageReply.Parser.ParseFrom(context.PayloadAsReadOnlySequence())));

    /// <summary>Reads a frame.</summary>
    /// <exception cref="InvalidProtocolBufferException">It is none.</exception>
    /// <exception cref="InvalidDataException">It is too large.</exception>
    public static StageFrame Read(ReadOnlySequence<byte> payload)
    {
        var reader = new SequenceReader<byte>(payload);
        // Anything but one step whose hidden states are given once is left to the parser, errors too.
        return reader.TryRead(out var tag) && tag == StepTag
            && TryReadVarint(ref reader, out var length) && length == (ulong)reader.Remaining
            && TryFindHidden(payload.Slice(reader.Position), out var before, out var hidden, out var after)
                ? new StageFrame { Step = ReadStep(Bounded(before), hidden, Bounded(after)) }
                : StageFrame.Parser.ParseFrom(Bounded(payload));

        static ReadOnlySequence<byte> Bounded(ReadOnlySequence<byte> bytes) => bytes.Length <= MaxOtherBytes
            ? bytes
            : throw new InvalidDataException($"a frame has {bytes.Length} bytes besides hidden states, must have at most {MaxOtherBytes}");
    }

    private static void Write<T>(T message, SerializationContext context)
        where T : IMessage<T>
    {
        context.SetPayloadLength(message.CalculateSize());
        message.WriteTo(context.GetBufferWriter());
        context.Complete();
    }

    private static Step ReadStep(ReadOnlySequence<byte> before, ReadOnlySequence<byte> hidden, ReadOnlySequence<byte> after)
    {
        var step = new Step();
        step.MergeFrom(before);
        step.MergeFrom(after);
        step.TakeHidden(hidden);
        return step;
    }

    private static bool TryFindHidden(
        ReadOnlySequence<byte> step, out ReadOnlySequence<byte> before, out ReadOnlySequence<byte> hidden, out ReadOnlySequence<byte> after)
    {
        before = hidden = after = default;
        var found = false;
        var reader = new SequenceReader<byte>(step);
        while (!reader.End)
        {
            var start = reader.Position;
            if (!TryReadVarint(ref reader, out var tag) || !TryReadValue(ref reader, (int)(tag & 7), out var value))
                return false;
            if (tag != HiddenTag)
                continue;
            if (found)
                return false;
            found = true;
            before = step.Slice(0, start);
            hidden = value;
            after = step.Slice(reader.Position);
        }

        return found;
    }

    private static bool TryReadValue(ref SequenceReader<byte> reader, int wireType, out ReadOnlySequence<byte> value)
    {
        value = default;
        var length = 0UL;
        switch (wireType)
        {
            case 0:
                return TryReadVarint(ref reader, out _);
            case 1:
                length = 8;
                break;
            case LengthDelimited:
                if (!TryReadVarint(ref reader, out length))
                    return false;
                break;
            case 5:
                length = 4;
                break;
            default:
                return false;
        }

        if (length > (ulong)reader.Remaining)
            return false;
        value = reader.Sequence.Slice(reader.Position, (long)length);
        reader.Advance((long)length);
        return true;
    }

    private static bool TryReadVarint(ref SequenceReader<byte> reader, out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 64 && reader.TryRead(out var part); shift += 7)
        {
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
                return true;
        }

        return false;
    }
}
