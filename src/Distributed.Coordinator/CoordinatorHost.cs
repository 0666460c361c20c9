using System.Diagnostics;
using Distributed.Cluster;
using Distributed.Cluster.Config;
using Distributed.Cluster.Protocol;
using Distributed.Coordinator.Planning;
using Distributed.Coordinator.Recovery;
using Distributed.Coordinator.Scheduling;
using Distributed.Coordinator.Sessions;
using Distributed.Coordinator.State;
using Distributed.Core;
using Distributed.Core.Chat;
using Distributed.Core.Tokenization;
using Distributed.Grains;
using Microsoft.Extensions.Logging;

namespace Distributed.Coordinator;

/// <summary>
/// A coordinator at work: a model spread over workers, ready for requests. What the command line and the HTTP API stand on.
/// </summary>
public sealed class CoordinatorHost : IAsyncDisposable
{
    // One coordinator runs one pipeline.
    private const string PipelineKey = "main";
    private static readonly TimeSpan RecordInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan RestoreTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan GrainTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LoadInterval = TimeSpan.FromMilliseconds(250);
    private readonly StateStore _state;
    private readonly Candidate? _candidate;
    private readonly LocalSilo _silo;
    private readonly SessionRecorder _recorder;
    private readonly WorkerHealth _health;
    private volatile Pipeline _pipeline;
    private int _disposed;

    private CoordinatorHost(
        ClusterConfig config, ModelFile model, Tokenizer tokenizer, StateStore state, LocalSilo silo, Candidate? candidate, Pipeline pipeline,
        ClusterSurvey survey, IReadOnlyList<string> drained)
    {
        (_state, _candidate) = (state, candidate);
        Survey = survey;
        Config = config;
        Model = model;
        Tokenizer = tokenizer;
        _pipeline = pipeline;
        _silo = silo;
        _health = new WorkerHealth(config);
        _recorder = new SessionRecorder(silo.Grains, LayoutOf(pipeline, model.Config), RecordInterval);
        Scheduler = new Scheduler(pipeline, config, tokenizer.IsEndOfGeneration, _recorder.Changed, recovers: true, sharesPrefixes: true);
        Recovery = new PipelineRecovery(pipeline, model, config, survey, Scheduler, BeginEpochAsync, AdoptAsync, drained);
    }

    /// <summary>The cluster.</summary>
    public ClusterConfig Config { get; }

    /// <summary>The model: its metadata is used here; its weights are at most handed out to workers, never computed with.</summary>
    public ModelFile Model { get; }

    /// <summary>The model's tokenizer.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>The workers and their links as they were when the placement was planned.</summary>
    public ClusterSurvey Survey { get; }

    /// <summary>The stages at work; others after a failure, and failed ones until there are others.</summary>
    public Pipeline Pipeline => _pipeline;

    /// <summary>What puts other stages in the place of failed ones.</summary>
    public PipelineRecovery Recovery { get; }

    /// <summary><c>ready</c>; <c>recovering</c> while requests wait for another pipeline; <c>failed</c> while they are refused.</summary>
    public (string State, string? Reason) Condition
    {
        get
        {
            var failed = _pipeline.Failed;
            return Recovery.Missing is { } missing ? ("failed", missing)
                : failed.IsCompleted ? ("recovering", failed.Result.Message) : ("ready", null);
        }
    }

    /// <summary>What there was of a coordinator before this one; null where there was nothing.</summary>
    public RestartReport? Restart { get; private set; }

    /// <summary>Why sessions are not written to its state at the moment; null while they are.</summary>
    public string? Unwritten => _recorder.Unwritten;

    /// <summary>Sessions are not written from now on, with the reason; null: they are again.</summary>
    public event Action<string?>? UnwrittenChanged
    {
        add => _recorder.UnwrittenChanged += value;
        remove => _recorder.UnwrittenChanged -= value;
    }

    /// <summary>Where its state is, for people.</summary>
    public string State => _state.Description;

    /// <summary>Which stage has which layers.</summary>
    public Placement Placement => Pipeline.Placement;

    /// <summary>The longest sequence, in tokens.</summary>
    public int Context => Placement.Context;

    /// <summary>What it is among several coordinators; null where it is alone.</summary>
    public Leadership? Leadership => _candidate is null ? null : new Leadership(_candidate.Url, Config.Term, _silo.Others);

    /// <summary>Takes requests.</summary>
    public Scheduler Scheduler { get; }

    /// <summary>What the workers say of themselves, in the order of the cluster; at most a second old.</summary>
    internal Task<WorkerAnswer[]> AskWorkersAsync(CancellationToken cancellation) => _health.AskAsync(cancellation);

    /// <summary>Plans, loads the stages on their workers and connects them.</summary>
    /// <param name="config">The cluster; its workers are running.</param>
    /// <param name="logLevel">What its grains log on standard error, below <see cref="LogLevel.Warning"/>; else nothing.</param>
    /// <param name="progress">Told how far the stages have loaded; null for nobody.</param>
    /// <param name="cancellation">Gives up; what was loaded is unloaded.</param>
    /// <exception cref="InvalidInputException">The model file or the config is wrong, or the model does not fit.</exception>
    /// <exception cref="StageFailureException">A worker cannot be reached or refuses its stage.</exception>
    public static Task<CoordinatorHost> StartAsync(
        ClusterConfig config, LogLevel logLevel, IProgress<LoadingProgress>? progress, CancellationToken cancellation) =>
        StartAsync(config, logLevel, progress, StateStore.InMemory, cancellation);

    /// <summary>Starts it with another grain storage than memory.</summary>
    internal static Task<CoordinatorHost> StartAsync(
        ClusterConfig config, IProgress<LoadingProgress>? progress, Action<ISiloBuilder>? storage, CancellationToken cancellation) =>
        StartAsync(config, LogLevel.Warning, progress, storage is null ? StateStore.InMemory : StateStore.Of(storage), cancellation);

    /// <summary>The same with a state that outlives it: where another coordinator has left one there, it is gone on with.</summary>
    /// <param name="config">The cluster; its workers are running.</param>
    /// <param name="logLevel">What its grains log on standard error, below <see cref="LogLevel.Warning"/>; else nothing.</param>
    /// <param name="progress">Told how far the stages have loaded; null for nobody.</param>
    /// <param name="state">The state; the coordinator closes it.</param>
    /// <param name="cancellation">Gives up; what was loaded is unloaded.</param>
    /// <exception cref="InvalidInputException">The model file or the config is wrong, or the model does not fit.</exception>
    /// <exception cref="StageFailureException">A worker cannot be reached or refuses its stage.</exception>
    public static Task<CoordinatorHost> StartAsync(
        ClusterConfig config, LogLevel logLevel, IProgress<LoadingProgress>? progress, StateStore state, CancellationToken cancellation) =>
        StartAsync(config, logLevel, progress, state, null, cancellation);

    /// <summary>The same for one of several, that leads now: with its silo, which it stops.</summary>
    internal static async Task<CoordinatorHost> StartAsync(
        ClusterConfig config, LogLevel logLevel, IProgress<LoadingProgress>? progress, StateStore state, Candidate? candidate,
        CancellationToken cancellation)
    {
        var started = Stopwatch.GetTimestamp();
        // The silo takes longer to start than workers to answer.
        var starting = candidate is not null ? Task.FromResult(candidate.Silo)
            : Task.Run(() => LocalSilo.StartAsync(state.Configure, logLevel, cancellation), cancellation);
        ModelFile? model = null;
        Pipeline? pipeline = null;
        var rehearsal = Task.CompletedTask;
        try
        {
            model = ModelFile.Open(config.Model);
            var tokenizer = model.Tokenizer;
            var survey = await ClusterSurvey.MakeAsync(model, config, cancellation);
            var silo = await starting;
            var grain = silo.Grains.GetGrain<IPipelineGrain>(PipelineKey);
            var record = await grain.GetAsync().WaitAsync(GrainTimeout, cancellation);
            var found = await PipelineStart.FindAsync(model, config, record, survey, cancellation);
            survey = found.Survey;
            pipeline = found.Pipeline;
            if (pipeline is null)
            {
                (pipeline, survey) = await LoadAsync(
                    model, config, found, token => BeginEpochAsync(grain, candidate, token), progress, isRestart: record is not null, cancellation);
                // Who goes on with another coordinator's sessions has streams that wait.
                rehearsal = record is null ? Rehearsal.RunAsync(pipeline, config, cancellation) : Task.CompletedTask;
                await grain.PlaceAsync(RecordOf(pipeline, model, config, found.Drained)).WaitAsync(GrainTimeout, cancellation);
            }

            var isSameModel = record is null || record.ModelHash == Convert.ToHexStringLower(model.Hash);
            var sessions = await RestoredSessions.ReadAsync(silo.Grains, isSameModel, found.Held).WaitAsync(RestoreTimeout, cancellation);
            if (sessions.Strays.Count > 0)
                await pipeline.ReleaseAsync(sessions.Strays, cancellation);
            await rehearsal;
            var host = new CoordinatorHost(config, model, tokenizer, state, silo, candidate, pipeline, survey, found.Drained);
            host.Restore(sessions);
            if (record is not null)
            {
                host.Restart = new RestartReport(
                    record.Epoch, pipeline.Epoch, found.Reason, sessions.Sessions.Count, sessions.Tokens.Known, sessions.Tokens.Kept,
                    Stopwatch.GetElapsedTime(started).TotalMilliseconds);
            }

            return host;
        }
        catch
        {
            if (pipeline is not null)
                await pipeline.DisposeAsync();
            await StopAsync(starting);
            state.Dispose();
            model?.Dispose();
            throw;
        }
    }

    /// <summary>A chat as the model expects it, with the beginning of the assistant's next message.</summary>
    /// <param name="messages">The messages, the oldest first.</param>
    /// <returns>Token ids.</returns>
    /// <exception cref="InvalidInputException">The model file has no chat template, or one that is not known.</exception>
    public int[] EncodeChat(IReadOnlyList<ChatMessage> messages)
    {
        var ids = Tokenizer.Encode(ChatTemplate.FromModel(Model.Source).Render(messages), special: true);
        // A template may write BOS down itself.
        return Tokenizer is { AddsBos: true, BosId: { } bos } && ids.FirstOrDefault(-1) != bos ? [bos, .. ids] : ids;
    }

    /// <summary>Prepares an answer in text. The parameters and errors are those of <see cref="Scheduler.Generate"/>.</summary>
    /// <param name="request">What is asked for.</param>
    /// <param name="stop">Texts at which the answer ends; they are not part of it.</param>
    /// <param name="cancellation">Ends it early.</param>
    public TextGeneration Generate(GenerationRequest request, IReadOnlyList<string> stop, CancellationToken cancellation) =>
        new(Scheduler.Generate(request, cancellation), Tokenizer, stop);

    /// <summary>What is on record of a session; null when nothing is. At most a tenth of a second old.</summary>
    public async Task<SessionRecord?> GetSessionAsync(string id, CancellationToken cancellation) =>
        await _silo.Grains.GetGrain<ISessionGrain>(id).GetAsync().WaitAsync(GrainTimeout, cancellation);

    /// <summary>All sessions on record, the one changed last at the end.</summary>
    public async Task<IReadOnlyList<SessionRecord>> ListSessionsAsync(CancellationToken cancellation)
    {
        var directory = _silo.Grains.GetGrain<ISessionDirectoryGrain>(ISessionDirectoryGrain.Key);
        var ids = await directory.ListAsync().WaitAsync(GrainTimeout, cancellation);
        var records = await Task.WhenAll(ids.Select(id => GetSessionAsync(id, cancellation)));
        return [.. records.OfType<SessionRecord>()];
    }

    /// <summary>Waits until all that has happened so far is on record.</summary>
    public Task FlushSessionsAsync(CancellationToken cancellation) => _recorder.FlushAsync(cancellation);

    /// <summary>Ends running requests, unloads the stages and stops; the workers themselves go on.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        await Recovery.DisposeAsync();
        await Scheduler.DisposeAsync();
        await Pipeline.DisposeAsync();
        await _recorder.DisposeAsync();
        await _silo.DisposeAsync();
        _state.Dispose();
        Model.Dispose();
    }

    private void Restore(RestoredSessions sessions)
    {
        foreach (var (session, blocks) in sessions.Sessions)
        {
            Scheduler.Restore(session, blocks);
            _recorder.Changed(session);
        }

        Scheduler.SkipTo(sessions.LastSequence);
    }

    private Task<long> BeginEpochAsync(CancellationToken cancellation) =>
        BeginEpochAsync(_silo.Grains.GetGrain<IPipelineGrain>(PipelineKey), _candidate, cancellation);

    // One that leads no more and does not know it yet must not move what another one has taken over.
    private static async Task<long> BeginEpochAsync(IPipelineGrain grain, Candidate? candidate, CancellationToken cancellation)
    {
        if (candidate is not null)
            await candidate.ConfirmAsync(cancellation);
        return await grain.BeginEpochAsync().WaitAsync(GrainTimeout, cancellation);
    }

    private async Task AdoptAsync(Pipeline pipeline, CancellationToken cancellation)
    {
        var grain = _silo.Grains.GetGrain<IPipelineGrain>(PipelineKey);
        await grain.PlaceAsync(RecordOf(pipeline, Model, Config, Recovery.Drained)).WaitAsync(GrainTimeout, cancellation);
        _recorder.MoveTo(LayoutOf(pipeline, Model.Config));
        _pipeline = pipeline;
    }

    // Where sessions wait for it, a worker that is lost before all stages are there is planned without, and one that is away for a moment
    // is waited for where the others have too little room: both as it would be later.
    private static async Task<(Pipeline Pipeline, ClusterSurvey Survey)> LoadAsync(
        ModelFile model, ClusterConfig config, PipelineStart found, Func<CancellationToken, Task<long>> beginEpoch,
        IProgress<LoadingProgress>? progress, bool isRestart, CancellationToken cancellation)
    {
        var survey = found.Survey;
        for (var started = Stopwatch.GetTimestamp(); ; await Task.Delay(LoadInterval, cancellation))
        {
            try
            {
                var placement = ClusterPlan.Make(model, found.Config, survey);
                var epoch = await beginEpoch(cancellation);
                return (await Pipeline.StartAsync(model, config, placement, epoch, progress, resumesSending: !isRestart, cancellation), survey);
            }
            catch (Exception error) when (
                isRestart && (IsLoss(error) || (error is InvalidInputException && MayGrow(survey, found.Config)))
                && Stopwatch.GetElapsedTime(started) < config.RecoveryTimeout)
            {
            }

            try
            {
                survey = await ClusterSurvey.MakeAsync(model, found.Config, cancellation);
            }
            catch (StageFailureException error) when (IsLoss(error) && Stopwatch.GetElapsedTime(started) < config.RecoveryTimeout)
            {
                // Nobody answers at this moment: the next look may find them.
            }
        }
    }

    private static bool IsLoss(Exception error) => error is StageFailureException
    {
        Failure.Code: FailureCode.HopLost or FailureCode.NextUnreachable or FailureCode.WorkerStopping,
    };

    // Whether a worker is away, or one still has stages of before, which go with their lease.
    private static bool MayGrow(ClusterSurvey survey, ClusterConfig config) =>
        config.Workers.Any(worker => !config.Exclude.Contains(worker.Name) && !survey.Workers.ContainsKey(worker.Name))
        || survey.Workers.Values.Any(worker => worker.Devices.Any(device => device.MemoryUsed > 0));

    private static async Task StopAsync(Task<LocalSilo> starting)
    {
        try
        {
            await (await starting).DisposeAsync();
        }
        catch
        {
            // It has not come up, and what went wrong first is being thrown already.
        }
    }

    private static KvLayout LayoutOf(Pipeline pipeline, ModelConfig model) => new(
        pipeline.Name,
        pipeline.Epoch,
        [.. pipeline.Placement.Stages.Select(stage => new KvLayoutStage(
            stage.Worker,
            stage.Device,
            stage.Spec.FirstLayer,
            stage.Spec.EndLayer,
            stage.Spec.NumLayers * 2 * stage.Spec.KvType.Bytes(model.KvSize) * StageSpec.KvBlockTokens))]);

    private static PipelineRecord RecordOf(Pipeline pipeline, ModelFile model, ClusterConfig config, IReadOnlyList<string> drained) => new()
    {
        ModelHash = Convert.ToHexStringLower(model.Hash),
        Drained = [.. drained],
        Rules = PipelineStart.RulesOf(config),
        Epoch = pipeline.Epoch,
        Name = pipeline.Name,
        Model = model.Config.Name,
        Placed = DateTimeOffset.UtcNow,
        Stages = [.. pipeline.Placement.Stages.Select(stage => new PipelineStage
        {
            Worker = stage.Worker,
            Address = stage.Address.ToString(),
            Device = stage.Device,
            FirstLayer = stage.Spec.FirstLayer,
            EndLayer = stage.Spec.EndLayer,
            KvBlocks = stage.Spec.KvBlocks,
        })],
    };
}
