using Distributed.Core.Quantization;

namespace Distributed.Gpu.Formats;

/// <summary>The tables that formats look values up in, one after the other in one array: on a device there is one copy for all stages.</summary>
public static class DeviceTables
{
    /// <summary>256 vectors of 8.</summary>
    public const int IQ2_XXS = 0;

    /// <summary>512 vectors of 8.</summary>
    public const int IQ2_XS = IQ2_XXS + (256 * 8);

    /// <summary>1024 vectors of 8.</summary>
    public const int IQ2_S = IQ2_XS + (512 * 8);

    /// <summary>256 vectors of 4.</summary>
    public const int IQ3_XXS = IQ2_S + (1024 * 8);

    /// <summary>512 vectors of 4.</summary>
    public const int IQ3_S = IQ3_XXS + (256 * 4);

    /// <summary>2048 vectors of 8.</summary>
    public const int IQ1 = IQ3_S + (512 * 4);

    /// <summary>The 16 levels of <see cref="Core.Quantization.IQ4_NL"/>.</summary>
    public const int IQ4_NL = IQ1 + (2048 * 8);

    /// <summary>Twice the 16 floats of <see cref="Core.Quantization.MXFP4"/>.</summary>
    public const int MXFP4 = IQ4_NL + 16;

    /// <summary>All tables.</summary>
    public static sbyte[] Create() =>
    [
        .. Codebook.IQ2_XXS.Values, .. Codebook.IQ2_XS.Values, .. Codebook.IQ2_S.Values, .. Codebook.IQ3_XXS.Values,
        .. Codebook.IQ3_S.Values, .. Codebook.IQ1.Values, .. Core.Quantization.IQ4_NL.Levels, .. Core.Quantization.MXFP4.Levels,
    ];
}
