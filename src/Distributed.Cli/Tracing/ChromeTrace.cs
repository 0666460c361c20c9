using System.Globalization;
using System.Text.Json;
using Distributed.Cluster;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Tracing;
using Distributed.Core;

namespace Distributed.Cli.Tracing;

/// <summary>
/// Steps in the Chrome trace-event format (Duca and Sinclair, "Trace Event Format"; JSON object form). A process per node. The
/// coordinator has a row of tokens, with its own parts within each; a worker has two rows per stage: what it computes, one step at
/// a time, and the way in and out. Where several steps are in one row's time at once, further rows take them. Arrows follow a
/// step from stage to stage.
/// </summary>
/// <param name="placement">The stages.</param>
/// <param name="model">The model's shape.</param>
/// <param name="clocks">The workers' clocks, by stage.</param>
internal sealed class ChromeTrace(Placement placement, ModelConfig model, IReadOnlyList<PeerClock> clocks)
{
    private const int Coordinator = 1;

    private readonly List<string> _workers = [.. placement.Stages.Select(stage => stage.Worker).Distinct()];
    private readonly Lanes _tokens = new();
    private readonly List<Lanes> _ways = [.. placement.Stages.Select(_ => new Lanes())];
    private readonly HashSet<(int Process, int Row)> _named = [];
    private readonly Dictionary<long, (int End, long DrawnNs)> _drawn = [];
    private long _zero;

    /// <summary>Writes a whole document.</summary>
    /// <param name="stream">Where.</param>
    /// <param name="steps">The steps in the order of their sending, with the moment when the token was out, ns; null for none.</param>
    /// <param name="dropped">How many more steps there were.</param>
    public void Write(Stream stream, IReadOnlyList<(StepTrace Step, long? OutNs)> steps, int dropped)
    {
        _zero = steps.Count == 0 ? NodeClock.Now : steps[0].Step.StartNs;
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteString("displayTimeUnit", "ms");
        json.WriteStartObject("otherData");
        WriteAbout(json, steps.Count, dropped);
        json.WriteEndObject();
        json.WriteStartArray("traceEvents");
        var events = new TraceEvents(json, _zero);
        events.NameProcess(Coordinator, "coordinator");
        foreach (var (index, worker) in _workers.Index())
            events.NameProcess(Coordinator + 1 + index, worker);
        foreach (var (step, outNs) in steps)
        {
            WriteCoordinator(events, step, outNs);
            for (var stage = 0; stage < placement.Stages.Count; stage++)
                WriteStage(events, step, stage);
            json.Flush();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private void WriteAbout(Utf8JsonWriter json, int steps, int dropped)
    {
        json.WriteString("program", $"distributed {typeof(ChromeTrace).Assembly.GetName().Version?.ToString(3)}");
        json.WriteString("model", model.Name);
        var began = DateTimeOffset.UtcNow - TimeSpan.FromTicks((NodeClock.Now - _zero) / TimeSpan.NanosecondsPerTick);
        json.WriteString("began", began.ToString("O", CultureInfo.InvariantCulture));
        json.WriteNumber("steps", steps);
        json.WriteNumber("stepsNotKept", dropped);
        json.WriteString("clock", "the coordinator's; the workers' are aligned to it by round trips, off by at most errorMicroseconds");
        json.WriteStartArray("stages");
        foreach (var stage in placement.Stages)
        {
            var clock = clocks[stage.Index];
            json.WriteStartObject();
            json.WriteNumber("stage", stage.Index);
            json.WriteString("worker", stage.Worker);
            json.WriteString("device", stage.Device);
            json.WriteNumber("firstLayer", stage.Spec.FirstLayer);
            json.WriteNumber("endLayer", stage.Spec.EndLayer);
            json.WriteNumber("clockOffsetMicroseconds", clock.OffsetNs / 1000m);
            json.WriteNumber("errorMicroseconds", clock.ErrorNs / 1000m);
            json.WriteNumber("comparisons", clock.Readings.Count);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    // A token's time runs from the moment when the one before it was drawn, whose printing goes on beside it, to the moment when it is
    // out itself.
    private void WriteCoordinator(TraceEvents events, StepTrace step, long? outNs)
    {
        var slice = step.Slices[0];
        var isDecode = step.Slices.All(one => one.Count == 1 && _drawn.TryGetValue(one.Sequence, out var last) && last.End == one.Start);
        var start = isDecode ? Math.Min(step.StartNs, step.Slices.Max(one => _drawn[one.Sequence].DrawnNs)) : step.StartNs;
        var end = Math.Max(step.EndNs, outNs ?? step.EndNs);
        foreach (var (sequence, first, count) in step.Slices)
            if (outNs is not null)
                _drawn[sequence] = (first + count, step.EndNs);

        var row = 1 + _tokens.Take(start, end);
        Name(events, Coordinator, row, "tokens", row);
        events.Complete(
            Coordinator, row, isDecode ? $"token {slice.Start}" : $"prefill {step.Tokens} tokens", "token", start, end, step,
            ("drew", outNs is null ? 0 : 1));
        if (isDecode)
            events.Complete(Coordinator, row, "schedule", "schedule", start, step.StartNs, step);
        foreach (var part in step.Parts.Where(part => part.Stage is null))
            WritePart(events, Coordinator, row, part, step);
        if (outNs is not null)
            events.Complete(Coordinator, row, "out", "out", step.EndNs, end, step);
        events.Flow('s', Coordinator, row, step.Parts[0].EndNs, step.Step);
        events.Flow('f', Coordinator, row, step.Parts[^1].EndNs, step.Step);
    }

    private void WriteStage(TraceEvents events, StepTrace step, int stage)
    {
        var process = Coordinator + 1 + _workers.IndexOf(placement.Stages[stage].Worker);
        var parts = step.Parts.Where(part => part.Stage == stage).ToList();
        // Numbers of their own, with room for all the steps that can be in a stage at once.
        var computing = (stage + 1) * 1000;
        var way = computing + 1 + _ways[stage].Take(parts[0].StartNs, parts[^1].EndNs);
        Name(events, process, computing, $"stage {stage} compute", computing);
        Name(events, process, way, $"stage {stage} in and out", way);
        foreach (var part in parts)
        {
            WritePart(events, process, part.Kind == PartKind.Compute ? computing : way, part, step);
            if (part.Kind != PartKind.Compute)
                continue;
            events.Flow('t', process, computing, part.StartNs, step.Step);
            WriteLayers(events, process, computing, part, step);
        }
    }

    private void WriteLayers(TraceEvents events, int process, int row, StepPart compute, StepTrace step)
    {
        var stage = compute.Stage!.Value;
        var spec = placement.Stages[stage].Spec;
        var moments = step.LayersNs[stage];
        if (moments.Count == 0)
            return;
        events.Complete(process, row, spec.HasEmbedding ? "embedding" : "upload", "layer", compute.StartNs, moments[0], step);
        for (var layer = 1; layer < moments.Count; layer++)
        {
            var number = spec.FirstLayer + layer - 1;
            events.Complete(process, row, $"layer {number}", "layer", moments[layer - 1], moments[layer], step, ("layer", number));
        }

        events.Complete(process, row, spec.HasHead ? "head and sampler" : "download", "layer", moments[^1], compute.EndNs, step);
    }

    private static void WritePart(TraceEvents events, int process, int row, StepPart part, StepTrace step)
    {
        var name = part.Kind.ToString().ToLowerInvariant();
        if (part is { Kind: PartKind.Wire, Stage: { } stage })
            events.Complete(process, row, name, name, part.StartNs, part.EndNs, step, ("stage", stage), ("bytes", step.Bytes[stage]));
        else if (part.Stage is { } other)
            events.Complete(process, row, name, name, part.StartNs, part.EndNs, step, ("stage", other));
        else
            events.Complete(process, row, name, name, part.StartNs, part.EndNs, step);
    }

    private void Name(TraceEvents events, int process, int row, string name, int order)
    {
        if (_named.Add((process, row)))
            events.NameRow(process, row, name, order);
    }
}
