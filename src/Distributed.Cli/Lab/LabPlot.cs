using ScottPlot;
using SkiaSharp;

namespace Distributed.Cli.Lab;

/// <summary>Pictures of an experiment: panels side by side, as PNG and as SVG.</summary>
internal static class LabPlot
{
    private const int PanelWidth = 720;
    private const int PanelHeight = 560;

    /// <summary>Colours that people who see colours differently tell apart, too (Okabe and Ito 2008).</summary>
    public static readonly (Color Blue, Color Orange, Color Green, Color Purple, Color Black) Colors =
        (Color.FromHex("#0072B2"), Color.FromHex("#D55E00"), Color.FromHex("#009E73"), Color.FromHex("#CC79A7"), Color.FromHex("#000000"));

    /// <summary>Whether the system has any font; pictures have no text without one.</summary>
    public static bool HasFonts => SKFontManager.Default.FontFamilyCount > 0;

    // Without any of these, what the system takes for its own.
    private static readonly Lazy<string> Font = new(() =>
        ((string[])["Open Sans", "Segoe UI", "Helvetica Neue", "Noto Sans", "Arial", "Liberation Sans", "DejaVu Sans"])
            .FirstOrDefault(name => Fonts.GetTypeface(name, bold: false, italic: false)?.FamilyName == name, Fonts.Default));

    /// <summary>An empty panel with its labels.</summary>
    /// <param name="title">Over it.</param>
    /// <param name="x">The x axis with its unit.</param>
    /// <param name="y">The y axis with its unit.</param>
    public static Plot Panel(string title, string x, string y)
    {
        var plot = new Plot();
        // The panels share a canvas.
        plot.RenderManager.ClearCanvasBeforeEachRender = false;
        plot.Font.Set(Font.Value);
        plot.Title(title, 16);
        plot.XLabel(x, 14);
        plot.YLabel(y, 14);
        plot.Axes.Bottom.TickLabelStyle.FontSize = 13;
        plot.Axes.Left.TickLabelStyle.FontSize = 13;
        plot.Legend.FontSize = 13;
        return plot;
    }

    /// <summary>Writes <c>NAME.png</c> and <c>NAME.svg</c>.</summary>
    public static void Save(LabFolder folder, string name, IReadOnlyList<Plot> panels)
    {
        var (width, height) = (PanelWidth * panels.Count, PanelHeight);
        using (var surface = SKSurface.Create(new SKImageInfo(width, height)))
        {
            Draw(surface.Canvas, panels);
            using var image = surface.Snapshot();
            using var data = image.Encode(SKEncodedImageFormat.Png, 100);
            using var file = File.Create(folder.File($"{name}.png"));
            data.SaveTo(file);
        }

        using var svg = File.Create(folder.File($"{name}.svg"));
        using var canvas = SKSvgCanvas.Create(SKRect.Create(width, height), svg);
        Draw(canvas, panels);
    }

    private static void Draw(SKCanvas canvas, IReadOnlyList<Plot> panels)
    {
        canvas.Clear(SKColors.White);
        for (var i = 0; i < panels.Count; i++)
            panels[i].Render(canvas, new PixelRect(i * PanelWidth, (i + 1) * PanelWidth, PanelHeight, 0));
    }
}
