using Distributed.Core.Chat;
using Distributed.Core.Gguf;
using Distributed.Testing;

namespace Distributed.Core.Tests.Chat;

public sealed class ChatTemplateTests
{
    private const string Loop = "{% for message in messages %}";
    private const string Message = "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}";
    private const string EndLoop = "{% endfor %}";
    private const string Prompt = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
    private const string Plain = Loop + Message + EndLoop + Prompt;

    private static readonly ChatMessage[] Chat = [new("system", "Be brief."), new("user", "What is a KV cache?")];

    [Fact]
    public void Template_of_the_sample_model_renders_ChatML()
    {
        using var file = GgufFile.Open(Repository.SampleModel);
        var template = ChatTemplate.FromModel(file);
        Assert.Equal(
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is a KV cache?<|im_end|>\n<|im_start|>assistant\n",
            template.Render(Chat));
    }

    [Fact]
    public void Without_a_generation_prompt_the_text_ends_with_the_last_message() =>
        Assert.Equal("<|im_start|>user\nHi<|im_end|>\n", ChatTemplate.Parse(Plain).Render([new("user", "Hi")], addGenerationPrompt: false));

    [Theory]
    [InlineData(
        "{%for message in messages%}{{'<|im_start|>'+message['role']+'\\n'+message['content']+'<|im_end|>'+'\\n'}}{%endfor%}"
        + "{%if add_generation_prompt%}{{'<|im_start|>assistant\\n'}}{%endif%}")]
    [InlineData(Loop + "{{ \"<|im_start|>\" + message.role + \"\\n\" + message.content + \"<|im_end|>\\n\" }}" + EndLoop + Prompt + "\n")]
    [InlineData(Loop + "{{ '<|im_start|>' }}{{ message.role }}{{ '\\n' + message.content }}<|im_end|>{{ '\\n' }}" + EndLoop + Prompt)]
    [InlineData(
        "{%- for message in messages -%}\n  {{- '<|im_start|>' + message['role'] + '\\n' -}}\n"
        + "{{- message['content'] + '<|im_end|>\\n' -}}\n{%- endfor -%}\n{%- if add_generation_prompt -%}\n  {{- '<|im_start|>assistant\\n' -}}\n{%- endif -%}")]
    [InlineData(
        "{# ChatML #}\n{% for message in messages %}\n<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n  {% endfor %}\n"
        + "{% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}")]
    [InlineData("{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}" + Plain)]
    public void ChatML_is_recognised_however_it_is_typed(string template) =>
        Assert.Equal(ChatTemplate.Parse(Plain).Render(Chat), ChatTemplate.Parse(template).Render(Chat));

    [Theory]
    [InlineData("")]
    [InlineData("{{ bos_token }}" + Plain)]
    [InlineData(Plain + "\n\n\n")]
    [InlineData(Loop + Message + EndLoop)]
    [InlineData(
        Loop + "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{% endif %}"
        + Message + EndLoop + Prompt)]
    [InlineData(Loop + "{{ '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' + '\\n' }}" + EndLoop + Prompt)]
    [InlineData(Loop + "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' }}" + EndLoop + Prompt)]
    [InlineData(Loop + "\n" + Message + "\n" + EndLoop + Prompt)]
    [InlineData(Loop + " " + Message + EndLoop + Prompt)]
    [InlineData("{% for message in messages %}{{ '<|im_start|>")]
    [InlineData("{{ messages")]
    [InlineData("{{ }}{{ + }}{% %}{%- -%}{{-}}")]
    public void Any_other_template_is_refused_and_the_error_names_raw(string template)
    {
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => ChatTemplate.Parse(template, "model.gguf")).Errors);
        Assert.Equal("tokenizer.chat_template", error.Key);
        Assert.Equal(template, error.Value);
        Assert.Equal("model.gguf", error.Source);
        Assert.Contains("--raw", error.Rule, StringComparison.Ordinal);
    }

    [Fact]
    public void Missing_template_is_refused_and_the_error_names_raw()
    {
        using var file = GgufFile.Open(Golden.Path("tokenizers/crossing.gguf"));
        var error = Assert.Single(Assert.Throws<InvalidInputException>(() => ChatTemplate.FromModel(file)).Errors);
        Assert.Null(error.Value);
        Assert.Contains("--raw", error.Rule, StringComparison.Ordinal);
    }

    [SharedFact]
    public void Published_templates_that_do_more_are_refused()
    {
        var templates = SharedGolden.Files("templates", "*.jinja").ToArray();
        Assert.True(templates.Length >= 20);
        Assert.All(templates, path => Assert.Throws<InvalidInputException>(() => ChatTemplate.Parse(File.ReadAllText(path))));
    }
}
