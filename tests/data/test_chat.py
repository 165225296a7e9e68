"""Conversations through chat templates: what is served, what is learned, and that the clock stands still."""

from dataclasses import replace

import pytest

from slmcheck.data import row_digest
from slmcheck.data.chat import served_prompt
from slmcheck.data.encoding import encode, encode_for_training, encode_prompt, marked
from slmcheck.errors import RecipeError
from slmcheck.records import Example

CHATML = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
BOS_FIRST = "{{ bos_token }}" + CHATML
THINKING = (  # earlier turns lose what stands before </think>, as in templates of reasoning models
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.role == 'assistant' and not loop.last %}{{ message.content.split('</think>')[-1] }}"
    "{% else %}{{ message.content }}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
INSTRUCT = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]"
    "{% else %} {{ message.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
DATED = "{{ strftime_now('%d %B %Y') }}{{ bos_token }}" + CHATML
TOOLS = (
    "{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.tool_calls %}{% for call in message.tool_calls %}{{ call.function | tojson(indent=1) }}{% endfor %}"
    "{% else %}{{ message.content }}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_STOP = (
    "{% for message in messages %}{{ message.role }}> {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant>{% endif %}"
)
UNSERVED = CHATML.replace(
    "{% if add_generation_prompt %}<|assistant|>", "{% if add_generation_prompt %}<|assistant|>Thinking"
)
GENERATION = CHATML.replace("{{ message['content'] }}", "{% generation %}{{ message['content'] }}{% endgeneration %}")

TURNS = (
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "<think>greet</think>Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "<think>leave</think>Ciao"},
)


def chat(*messages, tools=()):
    return Example(
        id="1", row={}, messages=messages or TURNS, answer="Ciao", references=("Ciao",), tools=tools, source="a.jsonl:1"
    )


@pytest.fixture
def recipe_for(make_recipe):
    def make(template, **fields):
        return make_recipe(
            task="generation", text_template=None, answer=None, messages="messages", chat_template=template, **fields
        )

    return make


def shown(example, tokenizer, recipe):
    return [marked(encoded, tokenizer) for encoded in encode_for_training(example, tokenizer, recipe=recipe)]


def test_the_last_turn_and_its_stop_token_are_learned(tokenizer, recipe_for):
    assert shown(chat(*TURNS[:2]), tokenizer, recipe_for(CHATML)) == [
        "<|user|>Hi<|end|>\n<|assistant|>[[<think>greet</think>Hello<|end|>]]"
    ]


def test_nothing_is_added_to_what_the_template_renders(tokenizer, recipe_for):
    assert encode(chat(), tokenizer, recipe=recipe_for(CHATML)).ids.count(1) == 0
    assert encode(chat(), tokenizer, recipe=recipe_for(BOS_FIRST)).ids.count(1) == 1
    assert encode_prompt(chat(), tokenizer, recipe=recipe_for(BOS_FIRST)).count(1) == 1


@pytest.mark.parametrize("template", [CHATML, BOS_FIRST, INSTRUCT, DATED, THINKING, NO_STOP, GENERATION])
def test_the_prompt_of_a_generation_is_the_masked_prefix(tokenizer, recipe_for, template):
    recipe = recipe_for(template)
    assert encode_prompt(chat(), tokenizer, recipe=recipe) == encode(chat(), tokenizer, recipe=recipe).prompt_ids


def test_every_turn_is_learned_in_one_row_where_prefixes_are_preserved(tokenizer, recipe_for):
    assert shown(chat(), tokenizer, recipe_for(CHATML, loss_on="all_turns")) == [
        "<|user|>Hi<|end|>\n<|assistant|>[[<think>greet</think>Hello<|end|>]]\n"
        "<|user|>Bye<|end|>\n<|assistant|>[[<think>leave</think>Ciao<|end|>]]"
    ]


def test_every_turn_is_a_row_of_its_own_where_prefixes_are_not_preserved(tokenizer, recipe_for):
    assert shown(chat(), tokenizer, recipe_for(THINKING, loss_on="all_turns")) == [
        "<|user|>Hi<|end|><|assistant|>[[<think>greet</think>Hello<|end|>]]",
        "<|user|>Hi<|end|><|assistant|>Hello<|end|><|user|>Bye<|end|><|assistant|>[[<think>leave</think>Ciao<|end|>]]",
    ]


def test_a_template_without_generation_prompt_is_cut_at_the_answer(tokenizer, recipe_for):
    assert shown(chat(), tokenizer, recipe_for(INSTRUCT, loss_on="all_turns")) == [
        "<s>[INST] Hi [/INST][[ <think>greet</think>Hello</s>]][INST] Bye [/INST][[ <think>leave</think>Ciao</s>]]"
    ]


def test_eos_ends_a_turn_where_the_template_has_no_stop_token(tokenizer, recipe_for):
    assert shown(chat(*TURNS[:2]), tokenizer, recipe_for(NO_STOP)) == [
        "user> Hi\nassistant>[[ <think>greet</think>Hello\n</s>]]"
    ]


def test_the_whole_conversation_may_be_learned(tokenizer, recipe_for):
    encoded = encode(chat(*TURNS[:2]), tokenizer, recipe=recipe_for(CHATML, loss_on="all"))
    assert encoded.labelled == (False, *[True] * (len(encoded.ids) - 1))


def test_a_turn_without_the_context_that_would_be_served_is_refused(tokenizer, recipe_for):
    with pytest.raises(RecipeError, match="otherwise than it would be served") as caught:
        encode(chat(), tokenizer, recipe=recipe_for(UNSERVED))
    assert "a.jsonl:1" in str(caught.value)


def test_an_option_stands_in_place_of_the_content(tokenizer, recipe_for):
    encoded = encode(chat(*TURNS[:2]), tokenizer, recipe=recipe_for(CHATML), text="ham", end=False)
    assert tokenizer.decode(encoded.answer_ids) == "ham"
    ended = encode(chat(*TURNS[:2]), tokenizer, recipe=recipe_for(CHATML), text="ham")
    assert tokenizer.decode(ended.answer_ids) == "ham<|end|>"


def test_tools_and_tool_calls_are_rendered(tokenizer, recipe_for):
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln <3"}}}
    example = chat(TURNS[0], {"role": "assistant", "tool_calls": [call]}, tools=({"name": "weather"},))
    (row,) = shown(example, tokenizer, recipe_for(TOOLS))
    assert row.startswith('<|system|>[{"name": "weather"}]<|end|><|user|>Hi')
    assert '[[{\n "name": "weather",\n "arguments": {\n  "city": "Köln <3"' in row
    assert row.endswith("}<|end|>]]")


def test_several_templates_by_name_are_chosen_by_tools(tokenizer, recipe_for):
    several = replace(tokenizer, chat_template={"default": CHATML, "tool_use": TOOLS})
    assert served_prompt(chat(*TURNS[:2]), several, recipe=recipe_for(None)).startswith("<|user|>")
    assert served_prompt(chat(*TURNS[:2], tools=({"a": 1},)), several, recipe=recipe_for(None)).startswith("<|system|>")


def test_a_tokenizer_without_a_template_is_refused(tokenizer, recipe_for):
    with pytest.raises(RecipeError, match=r"has no chat template\.\nRows of messages need one"):
        encode(chat(), tokenizer, recipe=recipe_for(None))


def test_a_template_that_refuses_the_messages_says_why(tokenizer, recipe_for):
    template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(RecipeError, match=r"cannot render a.jsonl:1.\nIt says: roles must alternate"):
        encode(chat(), tokenizer, recipe=recipe_for(template))


def test_a_template_with_a_syntax_error_is_refused(tokenizer, recipe_for):
    with pytest.raises(RecipeError, match="is not valid Jinja"):
        encode(chat(), tokenizer, recipe=recipe_for("{% for %}"))


def test_a_template_cannot_reach_out_of_its_sandbox(tokenizer, recipe_for):
    with pytest.raises(RecipeError, match="unsafe"):
        encode(chat(), tokenizer, recipe=recipe_for("{{ messages.__class__.__mro__ }}"))


def test_template_variables_come_from_the_recipe(tokenizer, recipe_for):
    template = "{{ greeting }}" + CHATML
    recipe = recipe_for(template, chat_template_kwargs={"greeting": "Dear model"})
    assert served_prompt(chat(), tokenizer, recipe=recipe).startswith("Dear model<|user|>")


def test_the_clock_of_a_template_is_the_date_of_the_recipe(tokenizer, recipe_for, monkeypatch):
    class Clock:
        @staticmethod
        def now():
            raise AssertionError("the template read the clock of the machine")

        fromisoformat = staticmethod(__import__("datetime").datetime.fromisoformat)

    recipe = recipe_for(DATED, template_date="2024-07-26")
    before = encode(chat(), tokenizer, recipe=recipe)
    monkeypatch.setattr("slmcheck.data.chat.datetime.datetime", Clock)
    monkeypatch.setattr("time.time", lambda: 4e9)
    from slmcheck.data.chat import _compiled

    _compiled.cache_clear()
    assert encode(chat(), tokenizer, recipe=recipe) == before
    assert served_prompt(chat(), tokenizer, recipe=recipe).startswith("26 July 2024")


def test_the_date_of_the_recipe_moves_ids_and_keys(tokenizer, recipe_for):
    one, other = recipe_for(DATED), recipe_for(DATED, template_date="2025-01-31")
    assert encode_prompt(chat(), tokenizer, recipe=one) != encode_prompt(chat(), tokenizer, recipe=other)
    assert row_digest(chat(), "generate", one) != row_digest(chat(), "generate", other)


@pytest.mark.parametrize("template", [CHATML, BOS_FIRST, THINKING, INSTRUCT, TOOLS, NO_STOP, GENERATION])
@pytest.mark.parametrize("generation_prompt", [True, False])
def test_rendering_equals_that_of_transformers(tokenizer, tokenizer_folder, recipe_for, template, generation_prompt):
    from transformers import AutoTokenizer

    from slmcheck.data.chat import _rendered

    theirs = AutoTokenizer.from_pretrained(tokenizer_folder)
    messages = [dict(message) for message in TURNS[: 3 if generation_prompt else 4]]
    tools = [{"type": "function", "function": {"name": "a<b>", "parameters": {}}}]
    expected = theirs.apply_chat_template(
        messages, tools=tools, chat_template=template, add_generation_prompt=generation_prompt, tokenize=False
    )
    example = chat(tools=tuple(tools))
    own = _rendered(example, messages, tokenizer, recipe_for(template), generation_prompt=generation_prompt)
    assert own == expected
