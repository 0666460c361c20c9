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
        if (types.Contains(null) || kvTypes.Contains(null))
        {
            var names = string.Join(", ", request.Types_.Concat(request.KvTypes));
            throw new StageFailureException(FailureCode.BadFrame, $"of {names} this worker does not know all", options.Name).ToRpc();
        }

        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        var reply = new WorkerProfile();
        foreach (var device in devices.All)
        {
            reply.Devices.Add(await profiles.GetAsync(
                device, [.. types.OfType<QuantType>()], [.. kvTypes.OfType<KvType>()], request.Again, ending.Token));
        }

        return reply;
    }
}
