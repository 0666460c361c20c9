using Distributed.Core.Gguf;
using Distributed.Testing;

namespace Distributed.Core.Tests.Gguf;

public class SharedVocabularyTests
{
    [SharedFact]
    public void Vocabularies_without_weights_are_opened()
    {
        var paths = SharedGolden.Files("tokenizers", "*.gguf").ToArray();
        Assert.NotEmpty(paths);
        foreach (var path in paths)
        {
            using var file = GgufFile.Open(path);
            Assert.Empty(file.Tensors);
            Assert.NotEmpty(file.Metadata.GetStrings("tokenizer.ggml.tokens"));
        }
    }
}
