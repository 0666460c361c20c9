using Distributed.Core.Quantization;
using Distributed.Gpu.Formats;
using Distributed.Gpu.Kernels;
using Distributed.Testing;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;

namespace Distributed.Gpu.Tests;

/// <summary>
/// The kernels of tensor cores, on warps as wide as theirs: the instruction is taken apart into what PTX says each lane has and gets.
/// </summary>
public sealed class TensorCoreTests : IDisposable
{
    private const int Columns = 512;

    private readonly Context _context;
    private readonly Accelerator _accelerator;

    public TensorCoreTests()
    {
        _context = Context.Create(builder => builder.CPU(new CPUDevice(TensorCore.Lanes, Int8TileKernels.StepBlocks, 1)));
        _accelerator = _context.GetCPUDevice(0).CreateAccelerator(_context);
    }

    [Fact]
    public void Lanes_have_the_values_that_the_instruction_gives_them()
    {
        // PTX ISA, matrix fragments for mma.m16n8k32 with .s8: element i of a lane, i from 0 to 15 (A), 7 (B) and 3 (C).
        for (var lane = 0; lane < TensorCore.Lanes; lane++)
        {
            var (group, inGroup) = (lane >> 2, lane % 4);
            for (var i = 0; i < 16; i++)
            {
                var row = i is < 4 or (>= 8 and < 12) ? group : group + 8;
                var column = (inGroup * 4) + (i & 3) + (i < 8 ? 0 : 16);
                Assert.Equal(row, TensorCore.Row(lane) + (i / 4 % 2 * 8));
                Assert.Equal(column, ((TensorCore.Word(lane) + (i / 8 * 4)) * 4) + (i % 4));
            }
            for (var i = 0; i < 8; i++)
            {
                Assert.Equal((inGroup * 4) + (i & 3) + (i < 4 ? 0 : 16), ((TensorCore.Word(lane) + (i / 4 * 4)) * 4) + (i % 4));
                Assert.Equal(group, TensorCore.Column(lane));
            }
            for (var i = 0; i < 4; i++)
            {
                Assert.Equal(i < 2 ? group : group + 8, TensorCore.Row(lane) + (i / 2 * 8));
                Assert.Equal((inGroup * 2) + (i & 1), TensorCore.ResultColumn(lane) + (i % 2));
            }
        }
    }

    [Fact]
    public void Words_of_a_tile_overlap_nowhere_and_eight_rows_lie_in_all_banks()
    {
        var all = new HashSet<int>();
        for (var block = 0; block < Int8TileKernels.StepBlocks; block++)
            for (var row = 0; row < Int8TensorKernels.TileRows; row++)
                for (var word = 0; word < 8; word++)
                    Assert.True(all.Add(Int8TensorKernels.WordAt(block, row, word)));
        var banks = Enumerable.Range(0, TensorCore.Lanes)
            .Select(lane => Int8TensorKernels.WordAt(3, TensorCore.Row(lane), TensorCore.Word(lane)) % 32);
        Assert.Equal(TensorCore.Lanes, banks.Distinct().Count());
    }

    // A tile has 32 rows and 32 tokens, and takes seconds here. Rows lie as their format has them, tokens alike for all: a second tile
    // of these is needed once.
    [Theory]
    [InlineData("Q4_0", 37, 35)]
    [InlineData("Q8_0", 37, 27)]
    [InlineData("Q4_K", 37, 27)]
    [InlineData("Q5_K", 37, 27)]
    [InlineData("Q6_K", 37, 27)]
    public void Products_have_the_bits_of_one_input_alone(string type, int rows, int tokens)
    {
        switch (type)
        {
            case "Q4_0":
                Compare<Q4_0Planes>(Q4_0.Type, rows, tokens);
                break;
            case "Q8_0":
                Compare<Q8_0Planes>(Q8_0.Type, rows, tokens);
                break;
            case "Q4_K":
                Compare<Q4_KBlocks>(Q4_K.Type, rows, tokens);
                break;
            case "Q5_K":
                Compare<Q5_KBlocks>(Q5_K.Type, rows, tokens);
                break;
            default:
                Compare<Q6_KPlanes>(Q6_K.Type, rows, tokens);
                break;
        }
    }

    public void Dispose()
    {
        _accelerator.Dispose();
        _context.Dispose();
    }

    private void Compare<TFormat>(QuantType type, int rows, int tokens)
        where TFormat : unmanaged, IInt8Format
    {
        var tensor = TestTensors.Random(type, rows, Columns, seed: 5);
        var bytes = Enumerable.Range(0, rows).SelectMany(row => tensor.Row(row).ToArray()).ToArray();
        if (Int8Kernels.Create(type, _accelerator, new KernelClock()).Parts is { Length: > 0 } parts)
        {
            var file = bytes.ToArray();
            BlockPlanes.Rearrange(file, bytes, parts);
        }
        var random = new Random(6);
        float[] values = [.. Enumerable.Range(0, tokens * Columns).Select(_ => (random.NextSingle() * 6) - 3)];
        var layout = new Int8Layout(tokens, Columns);
        using var weights = _accelerator.Allocate1D(bytes);
        using var input = _accelerator.Allocate1D(values);
        using var packed = _accelerator.Allocate1D<byte>(layout.Bytes);
        using var none = _accelerator.Allocate1D<int>(1);
        var stream = _accelerator.DefaultStream;
        _accelerator.LoadKernel<ArrayView<float>, ArrayView<byte>, Int8Layout>(QuantizeKernels.Quantize)(
            stream, new KernelConfig((int)layout.Blocks / Int8TileKernels.StepBlocks, Int8TensorKernels.Threads), input.View, packed.View, layout);

        var shape = new MatVecShape(rows, Columns, tokens, InputDivisor: 1, Add: 0);
        using var expected = _accelerator.Allocate1D<float>(tokens * rows);
        using var actual = _accelerator.Allocate1D<float>(tokens * rows);
        var noInts = none.View.BaseView.SubView(0, 0);
        // A warp has four rows.
        _accelerator.LoadKernel<ArrayView<byte>, ArrayView<byte>, Int8Layout, ArrayView<int>, ArrayView<float>, MatVecShape>(
            Int8MatVecKernels.One<TFormat>)(
            stream, new KernelConfig((rows + 31) / 32 * tokens, Int8TensorKernels.Threads), weights.View, packed.View, layout, noInts, expected.View, shape);
        var tiles = (tokens + Int8TensorKernels.TileTokens - 1) / Int8TensorKernels.TileTokens;
        var groups = (rows + Int8TensorKernels.TileRows - 1) / Int8TensorKernels.TileRows * tiles;
        _accelerator
            .LoadKernel<ArrayView<byte>, ArrayView<byte>, Int8Layout, ArrayView<int>, ArrayView<int>, ArrayView<float>, MatVecShape, int>(
                Int8TensorKernels.Multiply<TFormat>)(
                stream, new KernelConfig(groups, Int8TensorKernels.Threads), weights.View, packed.View, layout, noInts, noInts, actual.View, shape, tiles);
        stream.Synchronize();
        Assert.Equal(expected.GetAsArray1D(), actual.GetAsArray1D());
    }
}
