using Distributed.Core;
using Distributed.Core.Synthetic;
using Distributed.Engine;
using Distributed.Engine.KvCache;

namespace Distributed.Gpu.Tests;

public abstract class LoadTests
{
    protected abstract GpuBackend CreateBackend();

    [Fact]
    public void Weights_are_the_files_own_while_the_collector_moves_objects()
    {
        // Q4_0 is rearranged on its way, in memory that the collector may move.
        using var model = new ModelFile(new SyntheticModel(
            SyntheticPlan.Parse("layers=2,hidden=256,ffn=512,heads=4,kv=2,vocab=300:Q4_0", "type"), 1, default));
        using var loading = new ManualResetEventSlim();
        var expected = Logits();
        using var done = new CancellationTokenSource();
        var moves = 0;
        var mover = new Thread(() => Move(loading, () => Interlocked.Increment(ref moves), done.Token));
        mover.Start();
        try
        {
            for (var load = 0; load < 20 || Volatile.Read(ref moves) < 40; load++)
            {
                Assert.InRange(load, 0, 200);
                Assert.Equal(expected, Logits());
            }
        }
        finally
        {
            done.Cancel();
            mover.Join();
        }

        float[] Logits()
        {
            using var backend = CreateBackend();
            loading.Set();
            using var stage = Stage.Load(model, backend, new StageSpec(0, model.Config.NumLayers, true, true, 1, KvType.F16, 1, 1));
            loading.Reset();
            var logits = new float[model.Config.VocabSize];
            stage.Forward([new SequenceSlice(0, 0, 1)], [5], [0], [], logits);
            return logits;
        }
    }

    // Objects move into the room of others that are gone: so some stay and some go. Only while weights are loaded: it halts all threads.
    private static void Move(ManualResetEventSlim loading, Action moved, CancellationToken done)
    {
        var random = new Random(2);
        var kept = new byte[2000][];
        for (var turn = 0; !done.IsCancellationRequested; turn++)
        {
            for (var i = 0; i < kept.Length; i++)
                kept[random.Next(kept.Length)] = new byte[random.Next(200, 4000)];
            // Made before, so that a load of milliseconds is long enough to move them in.
            if (!loading.Wait(TimeSpan.FromMilliseconds(100), CancellationToken.None))
                continue;
            GC.Collect(turn % 16 == 15 ? 2 : 0, GCCollectionMode.Forced, blocking: true, compacting: true);
            if (loading.IsSet)
                moved();
        }
    }
}
