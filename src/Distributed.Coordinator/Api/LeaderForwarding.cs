using System.Diagnostics;
using System.Net;
using System.Net.Security;
using Distributed.Cluster.Certificates;
using Distributed.Cluster.Config;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Yarp.ReverseProxy.Forwarder;

namespace Distributed.Coordinator.Api;

/// <summary>
/// Sends requests on to the coordinator that leads, as long as that is another one, and answers back piece by piece. Whether this one is
/// well it says itself.
/// </summary>
internal sealed class LeaderForwarding : IDisposable
{
    private const string Mark = "X-Distributed-Forwarded";

    // The answer to a long prompt begins late.
    private static readonly ForwarderRequestConfig Patience = new() { ActivityTimeout = Pipeline.StepTimeout };

    // As long as it takes another one to lead.
    private static readonly TimeSpan Wait = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);
    private readonly HttpMessageInvoker _client;
    private readonly Func<Candidate?> _candidate;
    private readonly Func<CoordinatorHost?> _host;

    /// <param name="config">The cluster: its CA is what HTTPS certificates of the others are held against, where it has one.</param>
    /// <param name="candidate">What this coordinator is among the others; null from the function where it is alone, or not yet one of them.</param>
    /// <param name="host">This coordinator, once it leads.</param>
    public LeaderForwarding(ClusterConfig config, Func<Candidate?> candidate, Func<CoordinatorHost?> host)
    {
        (_candidate, _host) = (candidate, host);
        var ssl = new SslClientAuthenticationOptions();
        if (config.Tls is not null)
            ssl.CertificateChainPolicy = CertificateFiles.TrustingFile("tls.ca", config.Tls.Ca);
        _client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            UseProxy = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            UseCookies = false,
            ConnectTimeout = TimeSpan.FromSeconds(2),
            SslOptions = ssl,
        });
    }

    /// <summary>Puts it before what follows.</summary>
    public void AddTo(WebApplication app)
    {
        var forwarder = app.Services.GetRequiredService<IHttpForwarder>();
        app.Use((context, next) => _candidate() is not { } candidate || RequestGate.Open.Contains(context.Request.Path)
            ? next(context) : ForwardAsync(forwarder, candidate, context, next));
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    // What is wrong with the request itself is found while it is read, which is on the way to the other one.
    private static BadHttpRequestException? WhyRefused(Exception? error) => error switch
    {
        null => null,
        BadHttpRequestException bad => bad,
        AggregateException several => several.InnerExceptions.Select(WhyRefused).FirstOrDefault(bad => bad is not null),
        _ => WhyRefused(error.InnerException),
    };

    private async Task ForwardAsync(IHttpForwarder forwarder, Candidate candidate, HttpContext context, RequestDelegate next)
    {
        var isForwarded = context.Request.Headers.ContainsKey(Mark);
        context.Request.EnableBuffering();
        for (var started = Stopwatch.GetTimestamp(); _host() is null; await Task.Delay(Poll, context.RequestAborted))
        {
            if (candidate.Other is { } leader && leader.Url != candidate.Url && !isForwarded)
            {
                context.Request.Headers[Mark] = candidate.Url;
                var error = await forwarder.SendAsync(context, leader.Url, _client, Patience, HttpTransformer.Default, leader.Gone);
                context.Request.Headers.Remove(Mark);
                // It may have died with the request: another one leads soon, and what is asked again is answered from the record.
                if (error is ForwarderError.None || context.Response.HasStarted || context.RequestAborted.IsCancellationRequested)
                    return;
                context.Response.Clear();
                if (WhyRefused(context.GetForwarderErrorFeature()?.Exception) is { } refused)
                {
                    await OpenAiError.From(refused, context).WriteAsync(context);
                    return;
                }

                context.Request.Body.Position = 0;
            }

            if (Stopwatch.GetElapsedTime(started) > Wait)
            {
                await OpenAiError.Loading().WriteAsync(context);
                return;
            }
        }

        await next(context);
    }
}
