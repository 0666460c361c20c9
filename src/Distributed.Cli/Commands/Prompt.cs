using Distributed.Core.Chat;
using Distributed.Core.Tokenization;

namespace Distributed.Cli.Commands;

/// <summary>What the model is given to go on from.</summary>
/// <param name="tokenizer">The model's.</param>
/// <param name="template">How it was taught to see a chat; null for bare prompts.</param>
internal sealed class Prompt(Tokenizer tokenizer, ChatTemplate? template)
{
    /// <summary>The tokens of a chat up to where the model's answer begins; of a bare prompt the last message alone counts.</summary>
    public int[] Encode(IReadOnlyList<ChatMessage> messages)
    {
        var ids = tokenizer.Encode(template?.Render(messages) ?? messages[^1].Content, special: true);
        return tokenizer is { AddsBos: true, BosId: { } bos } && (ids.Length == 0 || ids[0] != bos) ? [bos, .. ids] : ids;
    }
}
