using Distributed.Testing;

namespace Distributed.Core.Tests;

public class StageTensorsTests
{
    [Theory]
    [InlineData("llama")]
    [InlineData("llama31-tied")]
    public void One_stage_has_every_tensor_once(string name)
    {
        using var model = Open(name);

        var tensors = StageTensors.For(model, 0, 3, hasEmbedding: true, hasHead: true);

        Assert.Equal(model.Tensors.Keys.Order(), tensors.Select(tensor => tensor.Tensor.Name).Order());
    }

    [Fact]
    public void Stages_together_have_every_tensor_once()
    {
        using var model = Open("llama");

        var tensors = new[]
        {
            StageTensors.For(model, 0, 1, true, false),
            StageTensors.For(model, 1, 3, false, false),
            StageTensors.For(model, 3, 3, false, true),
        };

        Assert.Equal([10, 18, 2], tensors.Select(stage => stage.Count));
        Assert.Equal(model.Tensors.Keys.Order(), tensors.SelectMany(stage => stage).Select(tensor => tensor.Tensor.Name).Order());
    }

    [Fact]
    public void A_fused_matrix_is_loaded_as_its_parts_where_they_lie()
    {
        using var model = Open("phi3");

        var tensors = StageTensors.For(model, 1, 2, hasEmbedding: false, hasHead: false).Select(tensor => tensor.Tensor).ToArray();

        Assert.Equal(
            ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"],
            tensors.Select(tensor => tensor.Name["blk.1.".Length..^".weight".Length]));
        Assert.Equal([64L, 32L, 32L], tensors[1..4].Select(tensor => tensor.Rows));
        var fused = model.Tensors["blk.1.attn_qkv.weight"];
        Assert.Equal(fused.Row(64 + 32 + 1).ToArray(), tensors[3].Row(1).ToArray());
        Assert.Equal(fused.Bytes, tensors[1..4].Sum(tensor => tensor.Bytes));
    }

    [Fact]
    public void A_stage_has_its_tensors_in_order_with_role_and_layer()
    {
        using var model = Open("llama31-tied");

        var tensors = StageTensors.For(model, 1, 2, hasEmbedding: true, hasHead: false);

        Assert.Equal(("token_embd.weight", TensorRole.Input, null), Describe(tensors[0]));
        Assert.Equal(("rope_freqs.weight", TensorRole.Shared, null), Describe(tensors[1]));
        Assert.Equal(("blk.1.attn_norm.weight", TensorRole.Repeating, 1), Describe(tensors[2]));
        Assert.Equal(("blk.1.ffn_down.weight", TensorRole.Repeating, 1), Describe(tensors[^1]));
        Assert.Equal(11, tensors.Count);
    }

    [Fact]
    public void A_head_with_tied_embeddings_loads_the_embedding()
    {
        using var model = Open("llama31-tied");

        var tensors = StageTensors.For(model, new StageSpec(3, 3, false, true, 1, KvType.F16, 0));

        Assert.Equal(
            [("output_norm.weight", TensorRole.Output, null), ("token_embd.weight", TensorRole.Output, null)], tensors.Select(Describe));
    }

    [Theory]
    [InlineData(-1, 1)]
    [InlineData(2, 1)]
    [InlineData(0, 4)]
    public void Layers_the_model_does_not_have_are_refused(int first, int end)
    {
        using var model = Open("llama");

        Assert.Throws<ArgumentOutOfRangeException>(() => StageTensors.For(model, first, end, false, false));
    }

    private static ModelFile Open(string name) => ModelFile.Open(Golden.Path($"architectures/{name}.gguf"));

    private static (string, TensorRole, int?) Describe(StageTensor tensor) => (tensor.Tensor.Name, tensor.Role, tensor.Layer);
}
