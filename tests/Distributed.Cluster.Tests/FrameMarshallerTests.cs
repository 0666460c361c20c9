using System.Buffers;
using Distributed.Cluster.Protocol;

namespace Distributed.Cluster.Tests;

public class FrameMarshallerTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100_000)]
    public void A_step_is_what_the_parser_makes_of_it_with_its_hidden_states_in_a_buffer(int pieces)
    {
        var frame = new StageFrame { Step = Step() };

        var read = FrameMarshaller.Read(InPieces(frame.ToByteArray(), pieces)).Step;

        Assert.Equal(frame.Step.Hidden.ToByteArray(), read.ReceivedHidden.ToArray());
        Assert.True(read.Hidden.IsEmpty);
        Assert.True(read.ArrivedNs > 0);
        read.Hidden = frame.Step.Hidden;
        Assert.Equal(frame.Step, read);
        read.ReturnHidden();
        Assert.Equal(frame.Step.Hidden.ToByteArray(), read.ReceivedHidden.ToArray());
    }

    [Fact]
    public void Frames_without_hidden_states_are_read_as_ever()
    {
        var step = Step();
        step.Hidden = ByteString.Empty;
        foreach (var frame in (StageFrame[])[new() { Hello = new Hello { Sender = "a" } }, new() { Step = step }, new()])
            Assert.Equal(frame, FrameMarshaller.Read(new(frame.ToByteArray())));
    }

    [Fact]
    public void Hidden_states_given_twice_are_the_last_ones_as_the_format_has_it()
    {
        var twice = new Step { Hidden = ByteString.CopyFrom(1, 2) }.ToByteArray().Concat(Step().ToByteArray()).ToArray();
        byte[] frame = [0x12, .. Varint(twice.Length), .. twice];

        Assert.Equal(Step().Hidden, FrameMarshaller.Read(new(frame)).Step.Hidden);
    }

    [Fact]
    public void No_beginning_of_a_frame_is_a_frame_and_no_noise_does_harm()
    {
        var frame = new StageFrame { Step = Step() }.ToByteArray();
        for (var length = 1; length < frame.Length; length += length < 40 ? 1 : 97)
            Assert.Throws<InvalidProtocolBufferException>(() => FrameMarshaller.Read(new(frame, 0, length)));

        var random = new Random(3);
        for (var i = 0; i < 3000; i++)
        {
            var noise = frame[..200];
            noise[random.Next(40)] = (byte)random.Next(256);
            noise[random.Next(noise.Length)] = (byte)random.Next(256);
            var (expected, read) = (Parse(() => StageFrame.Parser.ParseFrom(noise)), Parse(() => FrameMarshaller.Read(new(noise))));
            if (read?.Step is { } step && !step.ReceivedHidden.IsEmpty)
                step.Hidden = ByteString.CopyFrom(step.ReceivedHidden.Span);
            Assert.Equal(expected, read);
        }
    }

    private static StageFrame? Parse(Func<StageFrame> parse)
    {
        try
        {
            return parse();
        }
        catch (InvalidProtocolBufferException)
        {
            return null;
        }
    }

    private static Step Step()
    {
        var hidden = new byte[5000];
        new Random(1).NextBytes(hidden);
        var step = new Step { Epoch = 3, Step_ = 1L << 40, Hidden = ByteString.CopyFrom(hidden), SentNs = 12345678901 };
        step.Slices.Add(new Slice { Sequence = 9, Start = 7, Count = 2, Sampling = new Protocol.Sampling { Temperature = 0.5f, Seed = ulong.MaxValue } });
        step.Tokens.Add([5, 600]);
        step.Timings.Add(new StageTiming { Stage = 1, WireNs = 99 });
        return step;
    }

    private static byte[] Varint(int value) => value < 0x80 ? [(byte)value] : [(byte)(value | 0x80), .. Varint(value >> 7)];

    private static ReadOnlySequence<byte> InPieces(byte[] bytes, int pieces)
    {
        var size = Math.Max(1, bytes.Length / pieces);
        var first = new Segment(bytes.AsMemory(0, Math.Min(size, bytes.Length)), 0);
        var last = first;
        for (var start = size; start < bytes.Length; start += size)
            last = last.Append(bytes.AsMemory(start, Math.Min(size, bytes.Length - start)));
        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, long start) => (Memory, RunningIndex) = (memory, start);

        public Segment Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Segment(memory, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}
