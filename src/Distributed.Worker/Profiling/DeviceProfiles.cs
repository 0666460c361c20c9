using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Quantization;

namespace Distributed.Worker.Profiling;

/// <summary>
/// What each device of this worker can do: from the cache where that holds for this hardware, number of threads and program, else
/// measured, one device at a time and one worker of a machine at a time.
/// </summary>
/// <param name="data">The worker's folder for what outlives it; the cache is a folder in it.</param>
/// <param name="worker">The worker's name, for failures.</param>
public sealed class DeviceProfiles(string data, string worker) : IDisposable
{
    /// <summary>The formats that are measured at a worker's first start; others when a model of theirs is planned.</summary>
    public static IReadOnlyList<QuantType> UsualTypes { get; } =
        [.. new[] { "F16", "Q8_0", "Q4_0", "Q4_K", "Q6_K" }.Select(name => QuantTypes.ByName(name))];

    // Another worker that measures all formats of a slow machine takes some tens of seconds.
    private static readonly TimeSpan LockPatience = TimeSpan.FromSeconds(60);

    private readonly ProfileCache _cache = new(Path.Combine(data, "profiles"));
    private readonly SemaphoreSlim _one = new(1, 1);
    private readonly ConcurrentDictionary<string, DeviceProfile> _known = new();

    /// <summary>The profiles of all devices with the usual formats, which a worker measures at its first start.</summary>
    /// <param name="devices">The devices.</param>
    /// <param name="again">Measure anew whatever is known.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<IReadOnlyList<DeviceProfile>> MeasureAsync(DeviceInventory devices, bool again, CancellationToken cancellation)
    {
        var profiles = new List<DeviceProfile>();
        foreach (var device in devices.All.Where(device => device.IsMeasured))
            profiles.Add(await GetAsync(device, UsualTypes, [KvType.F16], again, cancellation));
        return profiles;
    }

    /// <summary>The profile of a device, with what is asked for in it.</summary>
    /// <param name="device">The device.</param>
    /// <param name="types">Formats of weights.</param>
    /// <param name="kvTypes">Formats of KV caches.</param>
    /// <param name="again">Measure anew whatever is known.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="StageFailureException">The device's memory limit, or what stages and other programs leave of it, is too little.</exception>
    public async Task<DeviceProfile> GetAsync(
        Device device, IReadOnlyCollection<QuantType> types, IReadOnlyCollection<KvType> kvTypes, bool again, CancellationToken cancellation)
    {
        var key = KeyOf(device);
        if (!again && Known(key) is { } enough && Has(enough, types, kvTypes))
            return enough;
        await _one.WaitAsync(cancellation);
        try
        {
            using var alone = await _cache.LockAsync(LockPatience, cancellation);
            // While this one waited, another worker may have measured the same.
            var known = _cache.Read(key) ?? _known.GetValueOrDefault(key)?.Clone();
            if (again && known is not null)
            {
                // All that is on record, or the other formats would be lost with what takes their place.
                types = [.. types, .. known.Types_.Select(type => QuantTypes.All.FirstOrDefault(other => other.Name == type.Type)).OfType<QuantType>()];
                kvTypes = [.. kvTypes, .. known.Attention.Select(type => KvTypes.TryParse(type.KvType)).OfType<KvType>()];
            }

            var profile = (again ? null : known) ?? New(device, key);
            if (!Has(profile, types, kvTypes))
            {
                using var memory = device.ReserveToMeasure(DeviceProbe.BytesOn(device), worker);
                await Task.Run(() => DeviceProbe.Complete(device, profile, types, kvTypes, ProbeSizes.Usual, cancellation), cancellation);
                _cache.Write(profile);
            }

            return _known[key] = profile;
        }
        catch (DeviceFullException error)
        {
            throw new StageFailureException(FailureCode.OutOfMemory, error.Message, worker, -1, error);
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>What is on record of a device, without measuring; null for nothing.</summary>
    public DeviceProfile? Find(Device device) => Known(KeyOf(device));

    /// <inheritdoc/>
    public void Dispose() => _one.Dispose();

    private static DeviceProfile New(Device device, string key)
    {
        var description = device.Describe();
        return new DeviceProfile { Device = device.Name, Hardware = description.Hardware, Threads = description.Threads, Key = key };
    }

    private static bool Has(DeviceProfile profile, IEnumerable<QuantType> types, IEnumerable<KvType> kvTypes) =>
        profile.Layer is not null
        && types.All(type => profile.Types_.Any(known => known.Type == type.Name))
        && kvTypes.All(type => profile.Attention.Any(known => known.KvType == type.ToName()));

    private static string KeyOf(Device device)
    {
        var description = device.Describe();
        var text = $"{device.Name}\n{description.Hardware}\n{description.Threads}\n{device.Program}";
        // A worker that may take little measures with little: its figures are not those of another one.
        if (DeviceProbe.WeightBytesOn(device) is var bytes && bytes < HostMachine.BytesBeyondCaches)
            text += $"\n{bytes}";
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..32];
    }

    private DeviceProfile? Known(string key)
    {
        if (_known.TryGetValue(key, out var known))
            return known;
        if (_cache.Read(key) is not { } read)
            return null;
        return _known[key] = read;
    }
}
