using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>Two or three matrices of one format and width, whose products with one input share a launch.</summary>
/// <param name="First">All rows of the first one.</param>
/// <param name="FirstOutput">[FirstRows]</param>
/// <param name="FirstRows">How many.</param>
/// <param name="Second">All rows of the second one.</param>
/// <param name="SecondOutput">[SecondRows]</param>
/// <param name="SecondRows">How many.</param>
/// <param name="Third">All rows of the third one; where there is none, of any.</param>
/// <param name="ThirdOutput">[ThirdRows]</param>
/// <param name="ThirdRows">How many; 0 where there is no third one.</param>
public readonly record struct Int8Matrices(
    ArrayView<byte> First, ArrayView<float> FirstOutput, int FirstRows, ArrayView<byte> Second, ArrayView<float> SecondOutput, int SecondRows,
    ArrayView<byte> Third, ArrayView<float> ThirdOutput, int ThirdRows);
