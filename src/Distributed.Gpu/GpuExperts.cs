using Distributed.Core;
using Distributed.Gpu.Kernels;
using ILGPU;

namespace Distributed.Gpu;

/// <summary>The operations of experts. Choices stay on the device, so that the host need not wait for them.</summary>
public sealed partial class GpuBackend
{
    private readonly DeviceInts _order;
    private readonly DeviceInts _expertTiles;
    private GpuExpertChoices? _grouped;

    /// <inheritdoc/>
    public override ExpertChoices AllocateChoices(int tokens, int experts, int perToken)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(perToken, experts);
        _order.Reserve(tokens * perToken);
        _expertTiles.Reserve((3 * ExpertTiles(tokens * perToken, experts)) + experts);
        var bytes = (long)tokens * perToken * sizeof(int);
        return new GpuExpertChoices(experts, perToken, _memory.Allocate(bytes).View, _memory.Allocate(bytes).View);
    }

    /// <inheritdoc/>
    public override void ChooseExperts(Activations scores, int rows, bool overChosen, ExpertChoices choices)
    {
        var chosen = (GpuExpertChoices)choices;
        chosen.Count = rows * choices.PerToken;
        _grouped = null;
        _kernels.ChooseExperts(
            _stream, rows, View(scores), chosen.Chosen, chosen.Weights, choices.Experts, choices.PerToken, overChosen ? 1 : 0);
    }

    /// <inheritdoc/>
    public override void ExpertMatMul(
        Activations input, bool perChoice, ExpertChoices choices, ReadOnlySpan<Weight> weights, ReadOnlySpan<Activations> outputs)
    {
        var chosen = (GpuExpertChoices)choices;
        var bytes = perChoice ? Quantized(input, chosen.Count) : null;
        var values = View(input);
        for (var i = 0; i < weights.Length; i++)
        {
            var weight = (GpuWeight)weights[i];
            var rows = weight.Rows / choices.Experts;
            var shape = new MatVecShape(rows, weight.Columns, chosen.Count, perChoice ? 1 : choices.PerToken, Add: 0);
            if (weight.Int8 is { } int8)
            {
                var layout = new Int8Layout(chosen.Count / shape.InputDivisor, weight.Columns);
                bytes ??= Quantize(values, layout);
                // Of fewer choices, most tiles would hold one.
                if (chosen.Count >= 2 * choices.Experts)
                {
                    var tiles = ExpertTiles(chosen.Count, choices.Experts);
                    GroupChoices(chosen, tiles);
                    MultiplyTiles(
                        int8, weight, bytes.Value, layout, tiles, _expertTiles.View.SubView(0, 3 * tiles), _order.View, View(outputs[i]), shape);
                    continue;
                }
                int8.One(
                    _stream, Int8Groups(rows, chosen.Count), weight.Bytes, bytes.Value, layout, chosen.Chosen, View(outputs[i]), shape);
                continue;
            }
            weight.Kernels.One(
                _stream, RowGroups(rows, chosen.Count), weight.Bytes, _device.Tables, values, chosen.Chosen, View(outputs[i]), shape);
        }
    }

    // Each expert's last tile may be cut.
    private int ExpertTiles(int choices, int experts) => (choices / _device.TileTokens) + experts;

    /// <summary>Sorts the choices by expert, once for all products until the next ones are made.</summary>
    private void GroupChoices(GpuExpertChoices choices, int tiles)
    {
        if (ReferenceEquals(_grouped, choices))
            return;
        _kernels.GroupChoices(
            _stream, new KernelConfig(1, _device.GroupThreads), choices.Chosen, _order.View, _expertTiles.View,
            _expertTiles.View.SubView(3 * tiles, choices.Experts), choices.Count, choices.Experts, _device.TileTokens, tiles);
        _grouped = choices;
    }

    /// <inheritdoc/>
    public override void AddExpertBias(Activations values, ExpertChoices choices, Weight bias)
    {
        var chosen = (GpuExpertChoices)choices;
        _kernels.AddExpertBias(
            _stream, Values(values, chosen.Count), View(values), chosen.Chosen, Floats(bias), values.Columns);
    }

    /// <inheritdoc/>
    public override void AddExperts(Activations values, ExpertChoices choices, Activations residual)
    {
        var chosen = (GpuExpertChoices)choices;
        _kernels.AddExperts(
            _stream, Values(residual, chosen.Count / choices.PerToken), View(values), chosen.Weights, View(residual), residual.Columns,
            choices.PerToken);
    }
}
