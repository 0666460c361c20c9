using Distributed.Cluster;
using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Quantization;
using Grpc.Core;

namespace Distributed.Worker;

public sealed partial class StageServiceEndpoint
{
    /// <inheritdoc/>
    public override async Task<WorkerProfile> Profile(ProfileRequest request, ServerCallContext context)
    {
        var types = request.Types_.Select(name => QuantTypes.All.FirstOrDefault(type => type.Name == name)).ToList();
        var kvTypes = request.KvTypes.Select(KvTypes.TryParse).ToList();
        InputError[] errors =
        [
            .. Unknown("types", request.Types_, types.Select(type => type is not null), QuantTypes.All.Select(type => type.Name)),
            .. Unknown("kv_types", request.KvTypes, kvTypes.Select(type => type is not null), Enum.GetValues<KvType>().Select(type => type.ToName())),
        ];
        if (errors.Length > 0)
            throw new StageFailureException(FailureCode.BadFrame, string.Join("; ", errors.Select(error => $"{error}")), options.Name).ToRpc();

        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        var reply = new WorkerProfile();
        try
        {
            foreach (var device in devices.All.Where(device => device.IsMeasured))
            {
                reply.Devices.Add(await profiles.GetAsync(
                    device, [.. types.OfType<QuantType>()], [.. kvTypes.OfType<KvType>()], request.Again, ending.Token));
            }
        }
        catch (StageFailureException error)
        {
            throw error.ToRpc();
        }

        return reply;
    }

    private static IEnumerable<InputError> Unknown(string key, IEnumerable<string> names, IEnumerable<bool> isKnown, IEnumerable<string> known) =>
        names.Zip(isKnown).Where(name => !name.Second).Select(name => new InputError(key, name.First, $"must be one of {string.Join(", ", known)}"));
}
