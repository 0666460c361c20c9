using Distributed.Core;
using Distributed.Cpu.Kernels;

namespace Distributed.Cpu;

/// <summary>The operations of experts.</summary>
public sealed unsafe partial class CpuBackend
{
    /// <summary>The most matrices of one expert in one <see cref="ExpertMatMul"/>.</summary>
    private const int MaxExpertProducts = 2;

    /// <inheritdoc/>
    public override ExpertChoices AllocateChoices(int tokens, int experts, int perToken)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(perToken, experts);
        if (_tasks.Length < experts * MaxExpertProducts)
            _tasks = new MatMulTask[experts * MaxExpertProducts];
        return new CpuExpertChoices(tokens, experts, perToken);
    }

    /// <inheritdoc/>
    public override void ChooseExperts(Activations scores, int rows, bool overChosen, ExpertChoices choices)
    {
        var chosen = (CpuExpertChoices)choices;
        for (var token = 0; token < rows; token++)
            chosen.Choose(token, new ReadOnlySpan<float>(Row(scores, token), scores.Columns), overChosen);
        chosen.Sort(rows);
    }

    /// <inheritdoc/>
    public override void ExpertMatMul(
        Activations input, bool perChoice, ExpertChoices choices, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs)
    {
        var chosen = (CpuExpertChoices)choices;
        CheckScratch(chosen.Count, input.Columns);
        var values = perChoice ? Row(input, 0) : (float*)_scratch.Data;
        var quantized = _scratch.Data + ((long)chosen.Count * input.Columns * sizeof(float));
        var kinds = new TermKinds(weights);
        var prepare = new ExpertInputWork(_kernels, input, perChoice, chosen, values, quantized, kinds);
        if (kinds.Count > 0 || (!perChoice && kinds.AnyTakesFloats))
            _threads.Run(ref prepare, prepare.Chunks);

        var count = 0;
        for (var expert = 0; expert < choices.Experts; expert++)
        {
            var start = chosen.Start(expert);
            var tokens = chosen.Start(expert + 1) - start;
            if (tokens == 0)
                continue;
            for (var i = 0; i < weights.Length; i++)
            {
                var weight = (CpuWeight)weights[i];
                var rows = weight.Rows / choices.Experts;
                var bytes = ExpertInputWork.Part(quantized, chosen, expert, input.Columns);
                _tasks[count] = Product(
                    weight, expert * rows, rows, tokens, values + ((long)start * input.Columns), bytes, outputs[i], start);
                _tasks[count++].TermSlot = kinds.SlotOf(weight.Kernel);
            }
        }
        RunTasks(count);
    }

    /// <inheritdoc/>
    public override void AddExpertBias(Activations values, ExpertChoices choices, Weight bias)
    {
        var work = new ExpertBiasWork(_kernels, values, (CpuExpertChoices)choices, (float*)bias.Tensor.Data);
        _threads.Run(ref work, work.Chunks);
    }

    /// <inheritdoc/>
    public override void AddExperts(Activations values, ExpertChoices choices, Activations residual)
    {
        var work = new AddExpertsWork(_kernels, values, (CpuExpertChoices)choices, residual);
        _threads.Run(ref work, work.Chunks);
    }
}
