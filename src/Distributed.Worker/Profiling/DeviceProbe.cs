using System.Numerics;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Quantization;
using Distributed.Core.Sampling;

namespace Distributed.Worker.Profiling;

/// <summary>Measures a device with the operations that its stages use, on a backend of its own.</summary>
internal static class DeviceProbe
{
    // The runtime compiles methods better once they have been called for a while; a processor may have to wake up as well.
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(0.3);
    private const int LogitsDrawn = 32_768;
    // Hidden states, keys and values, narrow layers.
    private const long OtherBytes = 24L << 20;
    private const long FewestWeightBytes = 8L << 20;

    /// <summary>
    /// Bytes of weights to measure a device with: more than caches hold where its limit allows. Where it does not, no stage has more
    /// weights there either, and what caches hold of them it finds there too.
    /// </summary>
    public static long WeightBytesOn(Device device)
    {
        var most = Math.Clamp(device.MemoryLimit - OtherBytes, FewestWeightBytes, HostMachine.BytesBeyondCaches);
        // In steps: limits that differ by little are measured alike.
        return most == HostMachine.BytesBeyondCaches ? most : 1L << BitOperations.Log2((ulong)most);
    }

    /// <summary>Bytes that measuring a device takes in all.</summary>
    public static long BytesOn(Device device) => WeightBytesOn(device) + OtherBytes;

    /// <summary>Adds to a profile what it has not yet; takes <see cref="BytesOn"/> meanwhile.</summary>
    /// <param name="device">The device.</param>
    /// <param name="profile">What is known already; a new one has its device, hardware, threads and key alone.</param>
    /// <param name="types">Formats of weights that are wanted.</param>
    /// <param name="kvTypes">Formats of KV caches that are wanted.</param>
    /// <param name="sizes">How much it is measured with.</param>
    /// <param name="cancellation">Gives up.</param>
    public static void Complete(
        Device device, DeviceProfile profile, IEnumerable<QuantType> types, IEnumerable<KvType> kvTypes, ProbeSizes sizes,
        CancellationToken cancellation)
    {
        using var backend = device.CreateBackend();
        var isNew = profile.Layer is null;
        // F32 tells the bandwidth, Q8_0 and f16 what layers cost beside their products.
        List<QuantType> wanted = isNew ? [F32.Type, QuantTypes.ByName(LayerProbe.WeightType), .. types] : [.. types];
        List<KvType> wantedKv = isNew ? [KvType.F16, .. kvTypes] : [.. kvTypes];
        wanted = [.. wanted.Distinct().Where(type => profile.Types_.All(known => known.Type != type.Name))];
        if (wanted.Count > 0)
        {
            using var products = new ProductProbe(backend, sizes, Math.Min(sizes.MostBytes, WeightBytesOn(device)), cancellation);
            products.WarmUp(wanted[0], WarmUp);
            foreach (var type in wanted)
                profile.Types_.Add(products.Measure(type, ReadSecondsPerByte(profile)));
        }

        foreach (var type in wantedKv.Distinct().Where(type => profile.Attention.All(known => known.KvType != type.ToName())))
            profile.Attention.Add(AttentionProbe.Measure(backend, type, sizes, cancellation));
        if (!isNew)
            return;
        profile.MeasuredUnixMs = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        profile.ReadBytesPerSecond = 1 / ReadSecondsPerByte(profile);
        profile.SecondsPerLogit = SecondsPerLogit(cancellation);
        profile.Layer = new LayerProbe(
            backend,
            profile.Types_.First(type => type.Type == LayerProbe.WeightType),
            profile.Attention.First(known => known.KvType == KvType.F16.ToName()),
            sizes,
            cancellation).Measure();
    }

    private static double ReadSecondsPerByte(DeviceProfile profile) =>
        profile.Types_.FirstOrDefault(type => type.Type == F32.Type.Name)?.ByTokens[0].SecondsPerByte ?? 0;

    // A greedy draw; others look at the same logits, and at few of them closely.
    private static double SecondsPerLogit(CancellationToken cancellation)
    {
        var logits = new float[LogitsDrawn];
        var random = new Random(1);
        foreach (ref var logit in logits.AsSpan())
            logit = (random.NextSingle() * 20) - 10;
        var (sampler, greedy) = (new Sampler(), new SamplingOptions { Temperature = 0 });
        return Timed.Seconds(() => sampler.Sample(logits, greedy, [], position: 0), cancellation) / LogitsDrawn;
    }
}
