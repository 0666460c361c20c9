using System.Text;

namespace Distributed.Core.Chat;

/// <summary>
/// How a model was taught to see a chat. ChatML is the one form known so far: each message stands between
/// <c>&lt;|im_start|&gt;role</c> and <c>&lt;|im_end|&gt;</c>, and nothing is added that is not in the messages.
/// </summary>
public sealed class ChatTemplate
{
    private const string Key = "tokenizer.chat_template";
    private const string UseRaw = "with --raw the model gets the bare prompt";

    // Ways of writing ChatML that give the same text for every chat; blank space, quotes and the use of + do not matter.
    private static readonly HashSet<string> ChatMl = new(
        new[]
        {
            """
            {%- for message in messages -%}
                {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
            """,
            """
            {%- if not add_generation_prompt is defined -%}{%- set add_generation_prompt = false -%}{%- endif -%}
            {%- for message in messages -%}
                {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
            {%- endfor -%}
            {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
            """,
        }.Select(template => JinjaOutline.Of(template)!),
        StringComparer.Ordinal);

    private readonly string _start;
    private readonly string _end;

    private ChatTemplate(string start, string end) => (_start, _end) = (start, end);

    /// <summary>The template of a model.</summary>
    /// <exception cref="InvalidInputException">It has none, or one that is not ChatML.</exception>
    public static ChatTemplate FromModel(ModelSource model) => Parse(model.ChatTemplate, model.Path);

    /// <summary>Recognises a template.</summary>
    /// <param name="template">Jinja source; null where a model has none.</param>
    /// <param name="source">The file it stands in, for errors; null where there is none.</param>
    /// <exception cref="InvalidInputException">There is none, or it is not ChatML.</exception>
    public static ChatTemplate Parse(string? template, string? source = null)
    {
        if (template is null)
            throw new InvalidInputException(Key, null, $"is missing, so there is no telling how this model sees a chat; {UseRaw}", source);
        return JinjaOutline.Of(template) is { } outline && ChatMl.Contains(outline)
            ? new ChatTemplate("<|im_start|>", "<|im_end|>")
            : throw new InvalidInputException(Key, template, $"must be plain ChatML, the one chat template known so far; {UseRaw}", source);
    }

    /// <summary>Writes a chat down as the model expects it. Encode the text with special tokens read as such.</summary>
    /// <param name="messages">The messages, the oldest first; may be empty.</param>
    /// <param name="addGenerationPrompt">Begin the assistant's next message.</param>
    public string Render(IEnumerable<ChatMessage> messages, bool addGenerationPrompt = true)
    {
        var text = new StringBuilder();
        foreach (var message in messages)
            text.Append(_start).Append(message.Role).Append('\n').Append(message.Content).Append(_end).Append('\n');
        if (addGenerationPrompt)
            text.Append(_start).Append("assistant\n");
        return text.ToString();
    }
}
