"""Chat rows through the tokenizer's chat template, exactly as a server would render them.

Templates are rendered by the same rules as transformers' `apply_chat_template`, in a sandbox, with the recipe's
`template_date` in place of the clock. jinja2 is imported on the first rendering.
"""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from slmcheck.data.encoding import Encoded, boundary, end_id
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.errors import MissingExtraError, RecipeError
from slmcheck.records import Example, Json, Recipe, to_json

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

Message = Mapping[str, Json]

_REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names under which a message carries its reasoning; templates read the first or the second."""


class _Compiled(Protocol):
    def render(self, **variables: object) -> str: ...


def served_prompt(example: Example, tokenizer: TextTokenizer, *, recipe: Recipe) -> str:
    """The messages before the answer with the generation prompt: the text that a server gives to the model.

    Raises:
        RecipeError: If the base model has no chat template, or it cannot be rendered.
    """
    return _rendered(example, example.messages[:-1], tokenizer, recipe, generation_prompt=True)


def encode_last_turn(
    example: Example, tokenizer: TextTokenizer, *, recipe: Recipe, text: str | None = None, end: bool = True
) -> Encoded:
    """A conversation as ids; the answer is the last turn with the token that stops it.

    Args:
        example: A chat row.
        tokenizer: Its chat template is used unless the recipe has one.
        recipe: `loss_on: all` learns the whole conversation, else the last turn is learned.
        text: Stands in place of the last message's content.
        end: Whether the stop token (the template's own, else EOS) is part of the answer.

    Raises:
        RecipeError: If the template renders the last turn otherwise than it would be served.
    """
    messages = example.messages
    if text is not None:
        last = {name: value for name, value in messages[-1].items() if name != "tool_calls"}
        messages = (*messages[:-1], {**last, "content": text})
    prompt = _rendered(example, messages[:-1], tokenizer, recipe, generation_prompt=True)
    whole = _rendered(example, messages, tokenizer, recipe, generation_prompt=False)
    if not whole.startswith(prompt):
        raise RecipeError(_not_served(example, recipe, prompt, whole))
    ids, offsets = tokenizer.tokenize(whole)
    start, crossing = boundary(offsets, len(prompt), whole)
    stop = _stop_index(ids, offsets, range(start, len(ids)), whole, tokenizer)
    if stop is None:
        framed = [*ids, end_id(tokenizer)] if end else list(ids)
    else:
        framed = list(ids[: stop + 1] if end else ids[:stop])
    learned_from = 1 if recipe.data.loss_on == "all" else max(1, start)
    return Encoded(
        ids=tuple(framed),
        answer_start=start,
        labelled=tuple(index >= learned_from for index in range(len(framed))),
        crossing=crossing,
    )


def encode_turns(example: Example, tokenizer: TextTokenizer, *, recipe: Recipe) -> tuple[Encoded, ...]:
    """A conversation in which every turn of the assistant is learned.

    One encoding where each turn stands in the whole as it would be served; where the template does not preserve
    prefixes (it strips the reasoning of earlier turns, say), one encoding a turn, each with the context as served.

    Raises:
        RecipeError: If the template renders a turn otherwise than it would be served.
    """
    messages = example.messages
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant" and index > 0]
    whole = _rendered(example, messages, tokenizer, recipe, generation_prompt=False)
    spans = []
    for turn in turns:
        prompt = _rendered(example, messages[:turn], tokenizer, recipe, generation_prompt=True)
        spoken = _rendered(example, messages[: turn + 1], tokenizer, recipe, generation_prompt=False)
        if not (spoken.startswith(prompt) and whole.startswith(spoken)):
            parts = [replace(example, messages=messages[: index + 1]) for index in turns]
            return tuple(encode_last_turn(part, tokenizer, recipe=recipe) for part in parts)
        spans.append((len(prompt), len(spoken)))
    last = encode_last_turn(example, tokenizer, recipe=recipe)
    ids, offsets = tokenizer.tokenize(whole)
    learned = [False] * len(last.ids)
    for begin, finish in spans[:-1]:
        for index in _turn_indices(ids, offsets, begin, finish, whole, tokenizer):
            learned[index] = index > 0
    labelled = tuple(one or other for one, other in zip(learned, last.labelled, strict=True))
    return (replace(last, labelled=labelled),)


def template_of(tokenizer: TextTokenizer, recipe: Recipe, *, tools: bool) -> str:
    """The Jinja source that renders a recipe's conversations.

    Raises:
        RecipeError: If neither recipe nor tokenizer has one.
    """
    template = recipe.data.chat_template or tokenizer.chat_template
    if isinstance(template, Mapping):
        template = (template.get("tool_use") if tools else None) or template.get("default")
    if template is None:
        raise RecipeError(
            f"{recipe.name}: the tokenizer of '{recipe.base_model}' has no chat template.\n"
            "Rows of messages need one: set data.chat_template (Jinja text, or a file ./template.jinja), "
            "use a base model that has one, or describe the rows with data.text_template."
        )
    return template


def _rendered(
    example: Example,
    messages: Sequence[Message],
    tokenizer: TextTokenizer,
    recipe: Recipe,
    *,
    generation_prompt: bool,
) -> str:
    from jinja2 import TemplateError

    data = recipe.data
    source = template_of(tokenizer, recipe, tools=bool(example.tools))
    try:
        return _compiled(source, data.template_date).render(
            messages=[_with_reasoning(to_json(message)) for message in messages],
            tools=to_json(example.tools) or None,
            documents=None,
            add_generation_prompt=generation_prompt,
            **tokenizer.special_tokens,
            **copy.deepcopy(to_json(data.chat_template_kwargs)),
        )
    except (TemplateError, TypeError, AttributeError, KeyError) as error:
        raise RecipeError(
            f"{recipe.name}: the chat template of '{recipe.base_model}' cannot render {example.source or example.id}.\n"
            f"It says: {error}.\n"
            "Change the messages as the template asks, or set data.chat_template or data.chat_template_kwargs."
        ) from error


def _with_reasoning(message: dict[str, Json]) -> dict[str, Json]:
    reasoning = next((message[name] for name in _REASONING if message.get(name) is not None), None)
    return message if reasoning is None else {"thinking": reasoning, **message, "reasoning_content": reasoning}


@lru_cache(maxsize=16)
def _compiled(source: str, date: str) -> _Compiled:
    try:
        from jinja2 import TemplateSyntaxError
    except ImportError as error:
        raise MissingExtraError(
            "Chat templates need jinja2, which is not installed.\nInstall it: pip install 'slmcheck[train]'"
        ) from error
    try:
        return _environment(datetime.datetime.fromisoformat(date)).from_string(source)
    except TemplateSyntaxError as error:
        raise RecipeError(
            f"The chat template is not valid Jinja: {error.message} (its line {error.lineno})."
        ) from error


def _environment(now: datetime.datetime) -> ImmutableSandboxedEnvironment:
    """The environment of transformers' chat templates, with a clock that stands still."""
    import jinja2
    import jinja2.ext
    import jinja2.nodes
    import jinja2.parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks what the assistant says; it renders its body as it is."""

        tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

        def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def fail(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json_text
    environment.globals["raise_exception"] = fail
    environment.globals["strftime_now"] = now.strftime
    return environment


def _to_json_text(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _stop_index(
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    places: range,
    text: str,
    tokenizer: TextTokenizer,
    finish: int | None = None,
) -> int | None:
    """Index of the special token that ends a turn: the last one with nothing but white space behind it."""
    for index in reversed(places):
        if text[offsets[index][1] : finish].strip():
            return None
        if ids[index] in tokenizer.special_ids:
            return index
    return None


def _turn_indices(
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    begin: int,
    finish: int,
    text: str,
    tokenizer: TextTokenizer,
) -> Iterator[int]:
    """The tokens of a turn that stands at text[begin:finish], through its stop token."""
    inside = [index for index, (_, end) in enumerate(offsets) if begin < end <= finish]
    if not inside:
        return
    places = range(inside[0], inside[-1] + 1)
    stop = _stop_index(ids, offsets, places, text, tokenizer, finish)
    yield from range(places.start, places.stop if stop is None else stop + 1)


def _not_served(example: Example, recipe: Recipe, prompt: str, whole: str) -> str:
    at = next(
        (index for index, (one, other) in enumerate(zip(prompt, whole, strict=False)) if one != other), len(whole)
    )
    return (
        f"{recipe.name}: the chat template of '{recipe.base_model}' renders the answer of "
        f"{example.source or example.id} otherwise than it would be served.\n"
        f"Served: ...{prompt[max(0, at - 20) : at + 40]!r}; with the answer: ...{whole[max(0, at - 20) : at + 40]!r}.\n"
        "Training would learn in a context that no request has.\n"
        "Set data.chat_template_kwargs (enable_thinking: false, say) or data.chat_template so that both begin alike."
    )
