using CsCheck;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Scheduling;
using Distributed.Coordinator.Sessions;

namespace Distributed.Coordinator.Tests.Scheduling;

/// <summary>
/// Many rounds of batches without workers: stages are clocks, one batch at a time on each, first come first served. What holds for
/// every schedule is checked on every step.
/// </summary>
public sealed class RunningSequencesTests
{
    [Theory]
    [InlineData(2, 8)]
    [InlineData(3, 8)]
    [InlineData(4, 4)]
    [InlineData(3, 2)]
    public void Sequences_that_began_one_by_one_settle_in_equal_groups_that_fill_the_stages(int stages, int sequences)
    {
        var simulation = new Simulation(stages, 256, _ => 10);
        for (var i = 0; i < sequences; i++)
        {
            simulation.Join(prompt: 5);
            simulation.Run(steps: 1 + (i % 3));
        }

        simulation.Run(steps: 20 * stages);
        var from = simulation.Steps.Count;
        simulation.Run(steps: 10 * stages);

        var share = (double)sequences / stages;
        Assert.All(simulation.Steps.Skip(from), step => Assert.InRange(step.Tokens, Math.Floor(share), Math.Ceiling(share)));
        Assert.Equal(Math.Min(1, share), simulation.BusyShare(from), 0.05);
    }

    [Fact]
    public void A_convoy_is_split_up()
    {
        var simulation = new Simulation(2, 256, _ => 10);
        for (var i = 0; i < 8; i++)
            simulation.Join(prompt: 1);
        simulation.Run(steps: 30);

        Assert.All(simulation.Steps.Skip(10), step => Assert.Equal(4, step.Tokens));
    }

    [Fact]
    public void Between_two_tokens_of_a_stream_lie_at_most_the_chunks_on_the_other_stages_whatever_prompts_come() =>
        Gen.Select(Gen.Int[1, 4], Gen.Int[16, 128], Gen.Int[1, 6], Gen.Int[1, 400].Array[1, 6], Gen.Int[0, 3]).Sample(
            (stages, maxTokens, streams, prompts, pause) =>
            {
                var simulation = new Simulation(stages, maxTokens, tokens => 2 + tokens);
                for (var i = 0; i < streams; i++)
                    simulation.Join(prompt: 3);
                simulation.Run(steps: 3 * stages);
                foreach (var prompt in prompts)
                {
                    simulation.Join(prompt);
                    simulation.Run(steps: pause);
                }

                simulation.Run(steps: 100);

                for (var stream = 0; stream < streams; stream++)
                {
                    var steps = simulation.StepsOf(stream).ToList();
                    Assert.True(steps.Count > 20);
                    // By then all of them decode.
                    var later = steps.Where(step => step >= 2 * stages).ToList();
                    Assert.All(later.Zip(later.Skip(1)), pair =>
                    {
                        var between = simulation.Steps.Skip(pair.First + 1).Take(pair.Second - pair.First - 1).ToList();
                        Assert.InRange(between.Count(step => step.Prompts.Count > 0), 0, stages - 1);
                        // Decode alone: those who were all in one step go on in one group after the other.
                        Assert.InRange(between.Count, 0, (2 * stages) - 1);
                    });
                }
            },
            iter: 300);

    [Fact]
    public void Prompts_take_turns() =>
        Gen.Select(Gen.Int[1, 4], Gen.Int[8, 64], Gen.Int[0, 5], Gen.Int[2000, 3000].Array[2, 5]).Sample(
            (stages, maxTokens, streams, prompts) =>
            {
                var simulation = new Simulation(stages, maxTokens, tokens => 2 + tokens);
                for (var i = 0; i < streams; i++)
                    simulation.Join(prompt: 1);
                simulation.Run(steps: streams == 0 ? 0 : 2 * stages);
                foreach (var prompt in prompts)
                    simulation.Join(prompt);
                simulation.Run(steps: 10 * prompts.Length);

                // Wherever one of them goes twice, each other one goes between.
                var turns = simulation.Steps.SelectMany(step => step.Prompts).Where(prompt => prompt >= streams).ToList();
                for (var i = 0; i < turns.Count - prompts.Length; i++)
                    Assert.Equal(prompts.Length, turns.Skip(i).Take(prompts.Length).Distinct().Count());
            },
            iter: 200);

    private sealed class Simulation(int stages, int maxTokens, Func<int, double> milliseconds)
    {
        private readonly RunningSequences _sequences = new();
        private readonly StageBalance _balance = new(stages);
        private readonly Queue<(FlightPart[] Parts, double Start, double End)> _flights = new();
        private readonly Dictionary<SequenceRun, int> _numbers = [];
        private readonly double[] _free = new double[stages];
        private double _now;

        public List<(int Tokens, List<int> Sequences, List<int> Prompts, double Start, double Busy)> Steps { get; } = [];

        public void Join(int prompt)
        {
            var session = new Session($"{_numbers.Count}", _numbers.Count, kept: false);
            var request = new GenerationRequest { Tokens = new int[prompt] };
            var run = new SequenceRun(session, request, (_, _) => null, (_, _) => { });
            run.Join();
            _numbers.Add(run, _numbers.Count);
            _sequences.Add(run);
        }

        public IEnumerable<int> StepsOf(int sequence) =>
            Enumerable.Range(0, Steps.Count).Where(step => Steps[step].Sequences.Contains(sequence));

        /// <summary>How much of the time the stages were busy, from that step on.</summary>
        public double BusyShare(int from) =>
            Steps.Skip(from).SkipLast(1).Sum(step => step.Busy) / (stages * (Steps[^1].Start - Steps[from].Start));

        public void Run(int steps)
        {
            for (var end = Steps.Count + steps; Steps.Count < end;)
            {
                while (Steps.Count < end && Send())
                {
                }

                if (Steps.Count < end)
                    Land();
            }
        }

        private bool Send()
        {
            var state = new BatchState(
                stages, maxTokens, _balance.Groups, _flights.Count, Steps.Count, _sequences.CountDecoding(), _sequences.Ready);
            var takes = _sequences.Form(state);
            if (takes.Count == 0)
                return false;
            var tokens = new List<int>();
            var parts = takes.Select(take => take.Run.Take(take.Count, out _, tokens)).ToArray();
            foreach (var part in parts)
                _sequences.Sent(part.Run);
            var time = milliseconds(tokens.Count);
            Steps.Add((tokens.Count, Numbers(_ => true), Numbers(part => part.OfPrompt), Math.Max(_now, _free[0]), time * stages));
            var at = _now;
            for (var stage = 0; stage < stages; stage++)
                at = _free[stage] = Math.Max(at, _free[stage]) + time;
            _flights.Enqueue((parts, _now, at));
            return true;

            List<int> Numbers(Predicate<FlightPart> which) => [.. parts.Where(part => which(part)).Select(part => _numbers[part.Run])];
        }

        private void Land()
        {
            var (parts, start, end) = _flights.Dequeue();
            _now = Math.Max(_now, end);
            var compute = (long)(1e6 * milliseconds(parts.Sum(part => part.Count)));
            var timings = Enumerable.Range(0, stages).Select(_ => new StageTiming { ComputeNs = compute }).ToList();
            timings[0].QueueNs = (long)(1e6 * (end - start)) - (compute * stages);
            if (parts.All(part => !part.OfPrompt))
                _balance.Add(timings, TimeSpan.FromMilliseconds(end - start));
            var shared = new SharedStep(0, parts.Length, 0, timings);
            foreach (var part in parts)
            {
                var drawn = part.Draws ? new SampledToken { Sequence = part.Run.Session.Sequence } : null;
                if (part.Run.Land(part, drawn, shared, default))
                    _sequences.Continue(part.Run);
                // A consumer that takes every token at once.
                if (drawn is not null)
                    Assert.NotNull(part.Run.TryTake());
            }
        }
    }
}
