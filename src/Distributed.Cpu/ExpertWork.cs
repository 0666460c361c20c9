using Distributed.Core;
using Distributed.Cpu.Kernels;

namespace Distributed.Cpu;

/// <summary>Lays out the input of experts, choice by choice: as float32 where a kernel takes it so, as bytes where one does.</summary>
internal readonly unsafe struct ExpertInputWork(
    LaneKernels kernels, Activations input, bool perChoice, CpuExpertChoices choices, float* values, byte* quantized, TermKinds kinds)
    : IParallelWork
{
    private readonly int _size = Cpu.Chunks.Rows(input.Columns * 2);

    public int Chunks => Cpu.Chunks.Count(choices.Count, _size);

    public void Run(int chunk)
    {
        for (var choice = chunk * _size; choice < Math.Min(choices.Count, (chunk + 1) * _size); choice++)
        {
            var row = CpuBackend.Row(input, perChoice ? choice : choices.Token(choice));
            if (!perChoice && kinds.AnyTakesFloats)
                new ReadOnlySpan<float>(row, input.Columns).CopyTo(new Span<float>(values + ((long)choice * input.Columns), input.Columns));
            if (kinds.Count > 0)
            {
                var expert = choices.Expert(choice);
                kernels.Quantize(
                    Part(quantized, choices, expert, input.Columns), row, input.Columns, choice - choices.Start(expert),
                    choices.Start(expert + 1) - choices.Start(expert), kinds.Kinds);
            }
        }
    }

    /// <summary>The bytes of one expert's choices.</summary>
    public static Int8Input Part(byte* quantized, CpuExpertChoices choices, int expert, int columns)
    {
        var blocks = columns / Int8Input.BlockLength;
        var start = choices.Start(expert);
        return new Int8Input(quantized + ((long)start * blocks * Int8Input.BlockBytes), choices.Start(expert + 1) - start, blocks);
    }
}

/// <summary>Adds the rows of each token's choices to its residual in the order of their scores, split by token.</summary>
internal readonly unsafe struct AddExpertsWork(
    LaneKernels kernels, Activations values, CpuExpertChoices choices, Activations residual) : IParallelWork
{
    private readonly int _size = Cpu.Chunks.Rows(residual.Columns * choices.PerToken);

    public int Chunks => Cpu.Chunks.Count(choices.Count / choices.PerToken, _size);

    public void Run(int chunk)
    {
        for (var token = chunk * _size; token < Math.Min(choices.Count / choices.PerToken, (chunk + 1) * _size); token++)
        {
            for (var rank = 0; rank < choices.PerToken; rank++)
            {
                var (choice, weight) = choices.Of(token, rank);
                kernels.AddScaled(CpuBackend.Row(values, choice), weight, CpuBackend.Row(residual, token), residual.Columns);
            }
        }
    }
}

/// <summary>Adds to each choice the bias of its expert.</summary>
internal readonly unsafe struct ExpertBiasWork(
    LaneKernels kernels, Activations values, CpuExpertChoices choices, float* bias) : IParallelWork
{
    private readonly int _size = Cpu.Chunks.Rows(values.Columns);

    public int Chunks => Cpu.Chunks.Count(choices.Count, _size);

    public void Run(int chunk)
    {
        for (var choice = chunk * _size; choice < Math.Min(choices.Count, (chunk + 1) * _size); choice++)
            kernels.AddScaled(bias + ((long)choices.Expert(choice) * values.Columns), 1, CpuBackend.Row(values, choice), values.Columns);
    }
}
