using System.Diagnostics;
using Distributed.Core;
using Distributed.Cpu;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Cli.Bench;

/// <summary>How long a process that has done nothing else yet took to the first token, in milliseconds.</summary>
/// <param name="Process">From the start of the process to here: the runtime, and reading the command line.</param>
/// <param name="Open">The device's threads, and opening the model file.</param>
/// <param name="Load">Loading the stage: the weights are mapped, buffers are allocated.</param>
/// <param name="Token">The first step of one token, its code being compiled.</param>
internal sealed record StartupProbe(double Process, double Open, double Load, double Token)
{
    /// <summary>Takes the time in this process.</summary>
    public static StartupProbe Run(string path, int threads, KvType kvType)
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        var started = (DateTime.Now - process.StartTime).TotalMilliseconds;
        var clock = Stopwatch.StartNew();
        // The device is there first, as a worker's is.
        using var backend = new CpuBackend(threads);
        using var model = ModelFile.Open(path);
        var opened = clock.Elapsed.TotalMilliseconds;
        var spec = new StageSpec(0, model.Config.NumLayers, HasEmbedding: true, HasHead: true, MaxBatchTokens: 1, kvType, KvBlocks: 1);
        using var stage = Stage.Load(model, backend, spec);
        var loaded = clock.Elapsed.TotalMilliseconds;
        stage.Forward([new SequenceSlice(0, 0, 1)], [1], [0], [], new float[model.Config.VocabSize]);
        return new StartupProbe(started, opened, loaded - opened, clock.Elapsed.TotalMilliseconds - loaded);
    }
}
