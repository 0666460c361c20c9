using Distributed.Cluster.Protocol;
using Distributed.Core;
using Distributed.Core.Gguf;
using Distributed.Core.Synthetic;
using Distributed.Testing;

namespace Distributed.Coordinator.Tests.Weights;

/// <summary>Workers that have not got the model's file: what is sent to them, kept by them, and asked for again.</summary>
public sealed class WeightTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Workers_get_the_layers_of_their_stages_once_and_compute_what_the_file_gives()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        await using var one = await WorkerProcess.StartAsync("one", _folder.Path("one"));
        await using var two = await WorkerProcess.StartAsync("two", _folder.Path("two"));
        var expected = SentWeights.Expected(model);

        var first = await SentWeights.SendAsync(model, (one.Config, 0, 4), (two.Config, 5, 7));
        var second = await SentWeights.SendAsync(model, (one.Config, 0, 4), (two.Config, 5, 7));
        var moved = await SentWeights.SendAsync(model, (one.Config, 0, 2), (two.Config, 3, 7));
        await two.KillAsync();
        await two.StartAsync();
        var restarted = await SentWeights.SendAsync(model, (one.Config, 0, 2), (two.Config, 3, 7));

        Assert.Equal((2 * SentWeights.Headers(model)) + SentWeights.Weights(model, 0, 4) + SentWeights.Weights(model, 5, 7), first.Sent);
        Assert.Equal(0, second.Sent);
        // Layers 3 and 4 alone: no others are new to the second worker.
        Assert.Equal(SentWeights.Weights(model, 3, 7) - SentWeights.Weights(model, 5, 7), moved.Sent);
        Assert.Equal(0, restarted.Sent);
        Assert.All([first, second, moved, restarted], load => Assert.Equal(expected, load.Logits));
    }

    [Fact]
    public async Task Tensor_that_both_ends_of_a_model_use_is_sent_once()
    {
        using var model = ModelFile.Open(Golden.Path("architectures/llama31-tied.gguf"));
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("one"));
        var last = model.Config.NumLayers - 1;

        var (sent, logits) = await SentWeights.SendAsync(model, (worker.Config, 0, 0), (worker.Config, 1, last));

        Assert.Equal(SentWeights.Headers(model) + SentWeights.Weights(model, 0, last), sent);
        Assert.Equal(SentWeights.Expected(model), logits);
    }

    [Theory]
    [InlineData("architectures/llama", null)]
    [InlineData("architectures/llama", "llama")]
    [InlineData("architectures/phi3", "phi3")]
    [InlineData("architectures/qwen3moe", "qwen3_moe")]
    [InlineData("architectures/gpt-oss", "gpt_oss")]
    public async Task Sets_of_files_and_folders_are_sent_like_one_file(string golden, string? folder)
    {
        var path = folder is null ? WriteSet(Golden.Path($"{golden}.gguf")) : _folder.Path("model");
        if (folder is not null)
        {
            Directory.CreateDirectory(path);
            HuggingFaceWriter.Write(Golden.Path($"{golden}.gguf"), path, folder, shards: 2);
        }

        using var model = ModelFile.Open(path);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"));
        var last = model.Config.NumLayers - 1;

        var (sent, logits) = await SentWeights.SendAsync(model, (worker.Config, 0, last));
        var again = await SentWeights.SendAsync(model, (worker.Config, 0, 0), (worker.Config, 1, last));

        Assert.Equal(3, model.Source.Files.Count);
        Assert.Equal(SentWeights.Headers(model) + SentWeights.Weights(model, 0, last), sent);
        Assert.Equal(0, again.Sent);
        Assert.Equal(SentWeights.Expected(model), logits);
        Assert.Equal(logits, again.Logits);
    }

    [Fact]
    public async Task Chunk_that_has_changed_on_disk_is_found_out_and_sent_again()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"));
        await SentWeights.SendAsync(model, (worker.Config, 0, 7));
        var spoilt = SentWeights.Ranges(model, 3, 3)[2];
        var stored = Assert.Single(Directory.GetFiles(_folder.Root, "model.gguf", SearchOption.AllDirectories));
        await using (var file = new FileStream(stored, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            file.Position = spoilt.Offset + spoilt.Bytes - 1;
            var value = (byte)file.ReadByte();
            file.Position--;
            file.WriteByte((byte)~value);
        }

        var (sent, logits) = await SentWeights.SendAsync(model, (worker.Config, 0, 7));

        Assert.Equal(spoilt.Bytes, sent);
        Assert.Equal(SentWeights.Expected(model), logits);
    }

    [Fact]
    public async Task Chunk_that_arrives_wrong_is_asked_for_again()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"));
        var spoilt = SentWeights.Ranges(model, 3, 3)[2];
        await using var line = new FaultyLine(worker.Address) { Flip = Bytes(spoilt, 24), Flips = 1 };

        var (sent, logits) = await SentWeights.SendAsync(model, (worker.Config with { Address = line.Address }, 0, 7));

        Assert.Equal(0, line.Flips);
        Assert.Equal(SentWeights.Headers(model) + SentWeights.Weights(model, 0, 7) + spoilt.Bytes, sent);
        Assert.Equal(SentWeights.Expected(model), logits);
    }

    [Fact]
    public async Task Chunk_that_always_arrives_wrong_ends_the_load_by_name()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"));
        await using var line = new FaultyLine(worker.Address) { Flip = Bytes(SentWeights.Ranges(model, 3, 3)[2], 24) };

        var failure = await RefusedAsync(SentWeights.LoadAsync(model, (worker.Config with { Address = line.Address }, 0, 7)));

        Assert.Equal(FailureCode.WeightsCorrupt, failure.Code);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Transfer_that_breaks_is_taken_up_where_it_was(bool killsWorker)
    {
        using var model = WriteSynthetic("layers=8,hidden=256,ffn=1024,heads=8,kv=8,vocab=2000:q8_0", 1);
        var total = SentWeights.Headers(model) + SentWeights.Weights(model, 0, 7);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"));
        await using var line = new FaultyLine(worker.Address);
        if (killsWorker)
            line.StallAfter = total * 2 / 3;
        else
            line.CutAfter = total * 2 / 3;

        var loading = SentWeights.SendAsync(model, (worker.Config with { Address = line.Address }, 0, 7));
        if (killsWorker)
        {
            await line.Stalled.Task.WaitAsync(RunningCluster.Patience);
            await worker.KillAsync();
            line.StallAfter = null;
            await worker.StartAsync();
        }

        var (sent, logits) = await loading;

        // What was on its way when it broke is sent twice; far less than half is.
        Assert.InRange(sent, total, total + (total / 2));
        Assert.Equal(SentWeights.Expected(model), logits);
    }

    [Fact]
    public async Task Two_workers_fill_one_folder_side_by_side()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        await using var one = await WorkerProcess.StartAsync("one", _folder.Path("data"));
        await using var two = await WorkerProcess.StartAsync("two", _folder.Path("data"));

        var first = await SentWeights.SendAsync(model, (one.Config, 0, 3), (two.Config, 4, 7));
        var exchanged = await SentWeights.SendAsync(model, (two.Config, 0, 3), (one.Config, 4, 7));

        Assert.Equal(0, exchanged.Sent);
        Assert.Equal(SentWeights.Expected(model), first.Logits);
        Assert.Equal(first.Logits, exchanged.Logits);
    }

    [Fact]
    public async Task Store_throws_out_the_model_used_last_the_longest_ago_but_none_in_use()
    {
        const string Shape = "layers=4,hidden=256,ffn=1024,heads=8,kv=8,vocab=2000:q8_0";
        using var a = WriteSynthetic(Shape, 1);
        using var b = WriteSynthetic(Shape, 2);
        using var c = WriteSynthetic(Shape, 3);
        var size = SentWeights.Headers(a) + SentWeights.Weights(a, 0, 3);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"), "--store-size", $"{size * 5 / 2}B");

        var sent = new List<long>();
        foreach (var model in (ModelFile[])[a, b, a, c, a, b])
            sent.Add((await SentWeights.SendAsync(model, (worker.Config, 0, 3))).Sent);
        await using var inUse = await SentWeights.LoadAsync(a, (worker.Config, 0, 3));
        await using var alsoInUse = await SentWeights.LoadAsync(b, (worker.Config, 0, 3));
        var failure = await RefusedAsync(SentWeights.LoadAsync(c, (worker.Config, 0, 3)));

        Assert.Equal([size, size, 0, size, 0, size], sent);
        Assert.Equal((0, 0), (inUse.BytesSent, alsoInUse.BytesSent));
        Assert.Equal(FailureCode.StoreFailed, failure.Code);
        Assert.Contains(ByteSize.Format(size * 5 / 2), failure.Message);
        Assert.Contains("--store-size", failure.Message);
        Assert.Equal(SentWeights.Expected(a), await SentWeights.LogitsAsync(inUse));
    }

    [Fact]
    public async Task Model_too_large_for_the_store_throws_none_out()
    {
        using var small = WriteSynthetic("layers=4,hidden=256,ffn=1024,heads=8,kv=8,vocab=2000:q8_0", 1);
        using var large = WriteSynthetic("layers=12,hidden=256,ffn=1024,heads=8,kv=8,vocab=2000:q8_0", 2);
        var size = SentWeights.Headers(small) + SentWeights.Weights(small, 0, 3);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"), "--store-size", $"{size * 3 / 2}B");
        await SentWeights.SendAsync(small, (worker.Config, 0, 3));
        // Half of it does fit, but not beside the small one, which has to stay: it is used.
        await using (await SentWeights.LoadAsync(small, (worker.Config, 0, 3)))
            await RefusedAsync(SentWeights.LoadAsync(large, (worker.Config, 0, 11)));
        var journals = Journals();

        var failure = await RefusedAsync(SentWeights.LoadAsync(large, (worker.Config, 0, 11)));
        var (sent, _) = await SentWeights.SendAsync(small, (worker.Config, 0, 3));

        Assert.Equal(FailureCode.StoreFailed, failure.Code);
        Assert.Equal(0, sent);
        // The header that came of the large one is kept as well.
        Assert.Equal(journals, Journals());
        Assert.Equal(2, journals.Length);

        string[] Journals() => [.. Directory.GetDirectories(Path.Combine(_folder.Path("data"), "weights")).Where(path => Path.GetFileName(path) != "locks").Order()];
    }

    [Fact]
    public async Task Layers_of_another_split_make_room_where_the_store_holds_one_stage_only()
    {
        using var model = WriteSynthetic("layers=8,hidden=256,ffn=1024,heads=8,kv=8,vocab=2000:q8_0", 1);
        await using var one = await WorkerProcess.StartAsync("one", _folder.Path("one"));
        var room = SentWeights.Headers(model) + SentWeights.Weights(model, 0, 4);
        await using var two = await WorkerProcess.StartAsync("two", _folder.Path("two"), "--store-size", $"{room}B");

        await SentWeights.SendAsync(model, (two.Config, 0, 3), (one.Config, 4, 7));
        var (_, logits) = await SentWeights.SendAsync(model, (one.Config, 0, 3), (two.Config, 4, 7));

        Assert.Equal(SentWeights.Expected(model), logits);
        var journals = Directory.GetFiles(_folder.Path("two"), "chunks-*", SearchOption.AllDirectories);
        Assert.NotEmpty(journals);
    }

    [Fact]
    public async Task Own_copy_of_another_model_is_left_alone_with_the_reason()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"));
        var other = Golden.Path("architectures/llama.gguf");

        var (sent, logits) = await SentWeights.SendAsync(model, (worker.Config with { Model = other }, 0, 7));
        var own = await SentWeights.SendAsync(model, (worker.Config with { Model = model.Path }, 0, 7));

        Assert.Equal(SentWeights.Headers(model) + SentWeights.Weights(model, 0, 7), sent);
        Assert.Equal(0, own.Sent);
        Assert.Equal(SentWeights.Expected(model), logits);
        Assert.Contains($"{other} is model ", worker.Log);
        Assert.Contains(Convert.ToHexStringLower(model.Hash), worker.Log);
    }

    [Fact]
    public async Task Folder_that_cannot_be_written_is_named()
    {
        using var model = ModelFile.Open(Repository.SampleModel);
        var file = _folder.Write("file", [1]);
        await using var worker = await WorkerProcess.StartAsync("one", Path.Combine(file, "data"));

        var failure = await RefusedAsync(SentWeights.LoadAsync(model, (worker.Config, 0, 7)));

        Assert.Equal(FailureCode.StoreFailed, failure.Code);
        Assert.Contains(file, failure.Message);
        Assert.Contains("--data", failure.Message);
    }

    [Fact]
    public async Task File_that_is_cut_off_while_it_is_sent_ends_the_load_and_not_the_coordinator()
    {
        var path = _folder.Path("model.gguf");
        File.Copy(Repository.SampleModel, path);
        using var model = ModelFile.Open(path);
        _ = model.Hash;
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"));
        await using (var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            file.SetLength(file.Length / 2);

        var failure = await RefusedAsync(SentWeights.LoadAsync(model, (worker.Config, 0, 7)));

        Assert.Equal(FailureCode.ModelUnreadable, failure.Code);
        Assert.Contains(path, failure.Message);
    }

    [Fact]
    public async Task Stage_that_does_not_fit_the_memory_is_refused_before_its_weights_are_sent()
    {
        using var model = WriteSynthetic("layers=8,hidden=256,ffn=1024,heads=8,kv=8,vocab=2000:q8_0", 1);
        await using var worker = await WorkerProcess.StartAsync("one", _folder.Path("data"), "--memory", "cpu=16MiB");
        // Both were planned while the worker was empty.
        var first = await SentWeights.PlaceAsync(model, (worker.Config with { Model = model.Path }, 0, 7));
        var second = await SentWeights.PlaceAsync(model, (worker.Config, 0, 7));
        await using var loaded = await first();

        var failure = await RefusedAsync(second());

        Assert.Equal(FailureCode.OutOfMemory, failure.Code);
        Assert.Contains("16 MiB", failure.Message);
        // A head of 16 bytes and one record: the file's header.
        var journal = Assert.Single(Directory.GetFiles(_folder.Root, "chunks-*", SearchOption.AllDirectories));
        Assert.Equal(16 + 32, new FileInfo(journal).Length);
    }

    private static async Task<Failure> RefusedAsync(Task<Pipeline> loading) =>
        (await Assert.ThrowsAsync<Cluster.StageFailureException>(() => loading)).Failure;

    private static byte[] Bytes(FileRange range, int count)
    {
        using var file = File.OpenHandle(range.Path);
        var bytes = new byte[count];
        RandomAccess.Read(file, bytes, range.Offset + (range.Bytes / 2));
        return bytes;
    }

    private ModelFile WriteSynthetic(string plan, ulong seed)
    {
        var path = _folder.Path($"synthetic-{seed}.gguf");
        using var synthetic = new SyntheticModel(SyntheticPlan.Parse(plan, "plan"), seed);
        using (var file = File.Create(path))
            synthetic.Save(file);
        return ModelFile.Open(path);
    }

    // One model as a set of three files.
    private string WriteSet(string gguf)
    {
        using var file = GgufFile.Open(gguf);
        var tensors = file.Tensors.Values.ToList();
        for (var i = 0; i < 3; i++)
        {
            var writer = new GgufWriter();
            if (i == 0)
                writer.SetAll(file.Metadata);
            writer.Set("split.no", (ushort)i);
            writer.Set("split.count", (ushort)3);
            writer.Set("split.tensors.count", tensors.Count);
            foreach (var tensor in tensors.Where((_, index) => index % 3 == i))
                writer.Add(tensor);
            writer.Write(_folder.Path($"set-0000{i + 1}-of-00003.gguf"));
        }

        return _folder.Path("set-00001-of-00003.gguf");
    }
}
