using System.Collections;

namespace Distributed.Worker.Tests;

/// <summary>Makes hostile messages of good ones: wrong in some fields, or in some bytes. The same seed makes the same.</summary>
internal sealed class Mutation(int seed)
{
    private static readonly long[] Absurd =
        [0, 1, -1, 2, 31, 33, 127, 4096, 1 << 20, int.MaxValue, int.MinValue, uint.MaxValue, long.MaxValue, long.MinValue];

    private readonly Random _random = new(seed);

    /// <summary>A number below another one.</summary>
    public int Below(int end) => _random.Next(end);

    /// <summary>A copy with one to three fields changed, anywhere in it.</summary>
    public T Fields<T>(T message)
        where T : IMessage<T>, IDeepCloneable<T>
    {
        var copy = message.Clone();
        for (var changes = 1 + Below(3); changes > 0; changes--)
            Change(copy);
        return copy;
    }

    /// <summary>Its bytes with some of them changed, cut off, doubled or put in.</summary>
    public byte[] Bytes(IMessage message)
    {
        var bytes = message.ToByteArray().ToList();
        for (var changes = 1 + Below(4); changes > 0 && bytes.Count > 0; changes--)
        {
            var at = Below(bytes.Count);
            switch (Below(4))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << Below(8));
                    break;
                case 1:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                case 2:
                    bytes.InsertRange(at, bytes.GetRange(at, Math.Min(50, bytes.Count - at)));
                    break;
                default:
                    bytes.Insert(at, (byte)Below(256));
                    break;
            }
        }

        return [.. bytes];
    }

    private void Change(IMessage message)
    {
        var fields = message.Descriptor.Fields.InFieldNumberOrder().Where(field => field.Name != "checksum").ToList();
        if (fields.Count == 0)
            return;
        var field = fields[Below(fields.Count)];
        if (field.IsRepeated)
            Change((IList)field.Accessor.GetValue(message), field);
        else if (field.FieldType == FieldType.Message)
        {
            // Leaving a message out is a change as well.
            if (field.Accessor.GetValue(message) is IMessage inner && Below(4) > 0)
                Change(inner);
            else
                field.Accessor.Clear(message);
        }
        else
        {
            field.Accessor.SetValue(message, Value(field));
        }
    }

    private void Change(IList list, FieldDescriptor field)
    {
        if (list.Count == 0 || Below(4) == 0)
        {
            var count = Below(2) == 0 ? 1 : 3000;
            for (var i = 0; i < count; i++)
                list.Add(field.FieldType == FieldType.Message ? field.MessageType.Parser.ParseFrom([]) : Value(field));
        }
        else if (field.FieldType == FieldType.Message && Below(2) == 0)
        {
            Change((IMessage)list[Below(list.Count)]!);
        }
        else if (Below(2) == 0)
        {
            list.RemoveAt(Below(list.Count));
        }
        else if (field.FieldType != FieldType.Message)
        {
            list[Below(list.Count)] = Value(field);
        }
    }

    private object Value(FieldDescriptor field)
    {
        var number = Below(3) == 0 ? _random.NextInt64() : Absurd[Below(Absurd.Length)];
        return field.FieldType switch
        {
            FieldType.Bool => Below(2) == 0,
            FieldType.Int32 => unchecked((int)number),
            FieldType.UInt32 => unchecked((uint)number),
            FieldType.UInt64 or FieldType.Fixed64 => unchecked((ulong)number),
            FieldType.Float => BitConverter.Int32BitsToSingle(unchecked((int)number)),
            FieldType.Double => BitConverter.Int64BitsToDouble(number),
            FieldType.String => Below(2) == 0 ? "" : new string('\u001b', 1 + Below(5000)),
            FieldType.Bytes => ByteString.CopyFrom(new byte[Below(3) * 16]),
            FieldType.Enum => field.EnumType.Values[Below(field.EnumType.Values.Count)].Number,
            _ => number,
        };
    }
}
