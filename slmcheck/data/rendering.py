"""How the rows of a recipe become prompts and answers: by a text template, as chat, or as documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from slmcheck.data.conversations import conversation_of
from slmcheck.data.templates import Template, parse_template, text_of
from slmcheck.records import Example, Json, Recipe

CLASSIFICATIONS = ("classification", "sequence_classification")

Row = Mapping[str, Json]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A rendered row."""

    answer: str
    reference: str
    """The answer without what the template has around it."""
    prompt: str = ""
    messages: tuple[Mapping[str, Json], ...] = ()
    tools: tuple[Mapping[str, Json], ...] = ()
    identity: Json = None
    """The input as the template uses it, for the id of the example."""


class Renderer(Protocol):
    """Turns rows into parts; made once for all rows of a recipe."""

    fields: tuple[str, ...]
    """What every row must have."""

    def render(self, row: Row) -> Parts | str:
        """The parts of a row, or a clause that says why it has none."""
        ...


def renderer_of(recipe: Recipe) -> Renderer:
    """What renders the rows of a recipe; the recipe's fields must have been checked."""
    data = recipe.data
    classifies = recipe.task in CLASSIFICATIONS
    if isinstance(data.messages, str):
        return _ChatRows(data.messages, data.answer, classifies)
    if data.messages is not None:
        return _ChatTemplates(data.messages, str(data.answer), classifies)
    if recipe.task == "language_modeling":
        return _Documents(parse_template(data.text_template or f"{{{data.answer}}}"))
    return _Texts(parse_template(data.text_template or ""), str(data.answer), classifies)


def around_answer(recipe: Recipe, example: Example) -> tuple[str, str]:
    """What the answer of a classification has before and after its label."""
    data, field = recipe.data, recipe.data.answer
    if isinstance(data.messages, tuple):
        before, after = parse_template(data.messages[-1]["content"]).split_at(str(field))
        return before.render(example.row), after.render(example.row)
    if data.messages is not None or field is None:
        return "", ""
    before_label, _, after_label = example.answer.partition(text_of(example.row[field]).strip())
    return before_label, after_label


@dataclass
class _Texts:
    """Prompt and answer of a text template: white space before the answer, and all text after it, belong to it."""

    template: Template
    answer: str
    classifies: bool
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        has_place = self.answer in self.template.fields
        self._before, self._after = self.template.split_at(self.answer) if has_place else (self.template, _NOTHING)
        self._inputs = tuple(dict.fromkeys(self._before.fields + self._after.fields))
        self.fields = (*self._inputs, self.answer)

    def render(self, row: Row) -> Parts | str:
        problem, answer = _answer_of(row, self._inputs, self.answer, strip=self.classifies)
        if problem:
            return problem
        rendered = self._before.render(row)
        prompt = rendered.rstrip()
        return Parts(
            prompt=prompt,
            answer=rendered[len(prompt) :] + answer + self._after.render(row),
            reference=answer.strip(),
            identity={name: row[name] for name in self._inputs},
        )


@dataclass
class _Documents:
    """A document of language modelling: no prompt, all of it is learned."""

    template: Template
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.fields = tuple(dict.fromkeys(self.template.fields))

    def render(self, row: Row) -> Parts | str:
        problem = _empty_inputs(row, self.fields)
        if problem:
            return problem
        text = self.template.render(row)
        return Parts(answer=text, reference=text, identity={name: row[name] for name in self.fields})


@dataclass
class _ChatRows:
    """Rows that hold their messages."""

    messages: str
    answer: str | None
    classifies: bool
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.fields = (self.messages, *([self.answer] if self.answer else []))

    def render(self, row: Row) -> Parts | str:
        conversation = conversation_of(row, self.messages, self.answer, strip_answer=self.classifies)
        if isinstance(conversation, str):
            return conversation
        return Parts(
            answer=conversation.answer,
            reference=conversation.answer.strip(),
            messages=conversation.messages,
            tools=conversation.tools,
            identity=[list(conversation.messages[:-1]), list(conversation.tools)],
        )


@dataclass
class _ChatTemplates:
    """Rows of plain fields that the recipe puts into messages; the last message holds the answer."""

    messages: tuple[Mapping[str, str], ...]
    answer: str
    classifies: bool
    fields: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._asked = [(item["role"], parse_template(item["content"])) for item in self.messages[:-1]]
        self._before, self._after = parse_template(self.messages[-1]["content"]).split_at(self.answer)
        named = [name for _, template in self._asked for name in template.fields]
        self._inputs = tuple(dict.fromkeys((*named, *self._before.fields, *self._after.fields)))
        self.fields = (*self._inputs, self.answer)

    def render(self, row: Row) -> Parts | str:
        problem, answer = _answer_of(row, self._inputs, self.answer, strip=self.classifies)
        if problem:
            return problem
        whole = self._before.render(row) + answer + self._after.render(row)
        asked = [{"role": role, "content": template.render(row)} for role, template in self._asked]
        return Parts(
            answer=whole,
            reference=answer.strip(),
            messages=(*asked, {"role": self.messages[-1]["role"], "content": whole}),
            identity={name: row[name] for name in self._inputs},
        )


_NOTHING = Template(("",), ())


def _answer_of(row: Row, inputs: tuple[str, ...], answer: str, *, strip: bool) -> tuple[str | None, str]:
    """Why a row cannot be rendered, None if it can, and its answer."""
    problem = _empty_inputs(row, inputs)
    text = text_of(row[answer])
    if problem is None and not text.strip():
        problem = f"field '{answer}' is empty"
    return problem, text.strip() if strip else text


def _empty_inputs(row: Row, fields: tuple[str, ...]) -> str | None:
    """Why a row has no input: optional fields may be empty, but not all of them."""
    if not fields or any(text_of(row[name]).strip() for name in fields):
        return None
    named = ", ".join(f"'{name}'" for name in fields)
    return f"field {named} is empty" if len(fields) == 1 else f"the fields {named} are all empty"
