using System.Buffers.Binary;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace Distributed.Coordinator.Tests;

/// <summary>A worker of another version, as it looks from here.</summary>
public sealed class UnlikeWorkerTests : IAsyncDisposable
{
    private readonly WebApplication _server;
    private int _calls;

    public UnlikeWorkerTests()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.ConfigureKestrel(kestrel => NodeServer.Listen(kestrel, NodeAddress.Parse("listen", "127.0.0.1:0")));
        _server = builder.Build();
        // gRPC's own frame: a flag, the length, the message.
        _server.Run(async context =>
        {
            Interlocked.Increment(ref _calls);
            var message = new WorkerDescription { ProtocolVersion = 99, Name = "unlike" }.ToByteArray();
            var frame = new byte[5 + message.Length];
            BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(1), message.Length);
            message.CopyTo(frame, 5);
            context.Response.ContentType = "application/grpc";
            await context.Response.Body.WriteAsync(frame);
            context.Response.AppendTrailer("grpc-status", "0");
        });
    }

    [Fact]
    public async Task It_is_refused_for_a_plan_and_told_of_beside_the_others_in_the_status()
    {
        await _server.StartAsync();
        await using var workers = await LocalWorkers.StartAsync(1, 1, RunningCluster.WorkerMemory, RunningCluster.Program, default);
        var config = RunningCluster.Config(workers);
        var address = NodeAddress.Parse("address", new Uri(_server.Urls.Single()).Authority);
        config = config with { Workers = [.. config.Workers, new WorkerConfig { Name = "unlike", Address = address }] };

        var error = await Assert.ThrowsAsync<StageFailureException>(() => ClusterSurvey.DescribeAsync(config, default));
        Assert.Equal(FailureCode.ProtocolMismatch, error.Failure.Code);

        var health = new WorkerHealth(config);
        var asked = _calls;
        var all = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => health.AskAsync(default)));
        Assert.Equal(1, _calls - asked);
        foreach (var answers in all)
        {
            Assert.Equal(["worker-0", "unlike"], answers.Select(answer => answer.Name));
            Assert.NotNull(answers[0].Description);
            Assert.Contains("speaks protocol version 99", answers[1].Failure!.Message, StringComparison.Ordinal);
        }
    }

    public async ValueTask DisposeAsync() => await _server.DisposeAsync();
}
