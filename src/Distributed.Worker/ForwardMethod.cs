using Distributed.Cluster;
using Grpc.AspNetCore.Server;
using Grpc.AspNetCore.Server.Model;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Distributed.Worker;

/// <summary>
/// Serves Forward once more, with <see cref="FrameMarshaller"/>, and before what the generated code serves under the same name:
/// generated methods cannot be given another marshaller.
/// </summary>
internal sealed class ForwardMethod : IServiceMethodProvider<StageServiceEndpoint>
{
    /// <summary>Registers it, behind gRPC itself.</summary>
    public static void AddTo(IServiceCollection services) =>
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IServiceMethodProvider<StageServiceEndpoint>, ForwardMethod>());

    /// <summary>Puts it before the generated method.</summary>
    public static void Prefer(IEndpointConventionBuilder endpoints) => endpoints.Add(endpoint =>
    {
        if (endpoint is RouteEndpointBuilder route
            && endpoint.Metadata.OfType<GrpcMethodMetadata>().Any(metadata => metadata.Method == FrameMarshaller.Forward))
            route.Order = -1;
    });

    /// <inheritdoc/>
    public void OnServiceMethodDiscovery(ServiceMethodProviderContext<StageServiceEndpoint> context) => context.AddDuplexStreamingMethod(
        FrameMarshaller.Forward, [], (service, frames, replies, call) => service.Forward(frames, replies, call));
}
