"""What the fields of a recipe may be, alone and together; pure, no file is opened."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.data.sources import parse_source
from slmcheck.data.templates import Template, parse_template
from slmcheck.errors import DataError, RecipeError
from slmcheck.recipes.structure import FieldPath, FieldProblem
from slmcheck.records import Recipe, SlicePredicate


@dataclass(frozen=True)
class Bounds:
    """The range of a number; the ends belong to it unless `above` or `below` says otherwise."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value is in the range; NaN never is."""
        low = value > self.low if self.above else value >= self.low
        high = value < self.high if self.below else value <= self.high
        return low and high and math.isfinite(value)

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'at least'} {_shown(self.low)}"
        high = f"{'below' if self.below else 'at most'} {_shown(self.high)}"
        if self.high == math.inf:
            return low
        return high if self.low == -math.inf else f"{low} and {high}"


def _shown(number: float) -> str:
    return str(int(number)) if math.isfinite(number) and number == int(number) else f"{number:g}"


_POSITIVE = Bounds(0, above=True)
_COUNT = Bounds(1)
_NOT_NEGATIVE = Bounds(0)

BOUNDS: Mapping[FieldPath, Bounds] = {
    ("seed",): Bounds(0, 2**32 - 1),
    ("seeds",): Bounds(1, 100),
    ("learning_rate",): Bounds(0, 10, above=True),
    ("warmup_ratio",): Bounds(0, 1, below=True),
    ("warmup_steps",): _NOT_NEGATIVE,
    ("num_train_epochs",): _POSITIVE,
    ("max_steps",): _COUNT,
    ("per_device_train_batch_size",): _COUNT,
    ("gradient_accumulation_steps",): _COUNT,
    ("weight_decay",): Bounds(0, 1),
    ("max_grad_norm",): _NOT_NEGATIVE,
    ("early_stopping_patience",): _COUNT,
    ("eval_steps",): _COUNT,
    ("save_steps",): _COUNT,
    ("logging_steps",): _COUNT,
    ("label_smoothing",): Bounds(0, 1, below=True),
    ("threads",): Bounds(1, 1024),
    ("timeout_minutes",): _POSITIVE,
    ("data", "validation"): Bounds(0, 0.5, above=True),
    ("data", "max_length"): Bounds(8),
    ("evaluation", "few_shot"): _NOT_NEGATIVE,
    ("evaluation", "max_new_tokens"): _COUNT,
    ("evaluation", "temperature"): _NOT_NEGATIVE,
    ("evaluation", "top_p"): Bounds(0, 1, above=True),
    ("evaluation", "samples"): _COUNT,
    ("evaluation", "window"): Bounds(2),
    ("evaluation", "stride"): _COUNT,
    ("evaluation", "batch_tokens"): _COUNT,
}
"""The range of every number of a recipe, by its path."""


def problems_of(recipe: Recipe) -> list[FieldProblem]:
    """Everything wrong with the values of a recipe, in the order of its fields."""
    return [*_out_of_bounds(recipe), *_training(recipe), *_data(recipe), *_slices(recipe), *_evaluation(recipe)]


def value_at(recipe: Recipe, path: FieldPath) -> object:
    """The value of a field by its path."""
    value: object = recipe
    for name in path:
        value = getattr(value, name)
    return value


def _out_of_bounds(recipe: Recipe) -> Iterator[FieldProblem]:
    for path, bounds in BOUNDS.items():
        value = value_at(recipe, path)
        if isinstance(value, (int, float)) and not bounds.holds(value):
            yield FieldProblem(path, f"{'.'.join(path)} is {value:g}; expected {bounds}")


def _training(recipe: Recipe) -> Iterator[FieldProblem]:
    if recipe.num_train_epochs is not None and recipe.max_steps is not None:
        yield FieldProblem(("max_steps",), "num_train_epochs and max_steps are both given; keep one of them")
    if recipe.warmup_ratio and recipe.warmup_steps:
        yield FieldProblem(("warmup_steps",), "warmup_ratio and warmup_steps are both given; keep one of them")
    if recipe.bf16 and recipe.fp16:
        yield FieldProblem(("fp16",), "bf16 and fp16 are both true; keep one of them")
    if recipe.save_steps is not None and recipe.save_steps != recipe.eval_steps:
        evaluated = "not given" if recipe.eval_steps is None else str(recipe.eval_steps)
        text = (
            f"save_steps is {recipe.save_steps} and eval_steps is {evaluated}; they are equal, so leave save_steps out"
        )
        yield FieldProblem(("save_steps",), text)
    for label, weight in recipe.class_weights.items():
        if not _POSITIVE.holds(weight):
            yield FieldProblem(("class_weights", label), f"class_weights.{label} is {weight:g}; expected {_POSITIVE}")
        elif recipe.labels and label not in recipe.labels:
            yield FieldProblem(
                ("class_weights", label), f"class_weights names '{label}', which is not among the labels"
            )
    if recipe.class_weights and recipe.task not in CLASSIFICATIONS:
        yield FieldProblem(("class_weights",), f"class_weights need a classification; task is '{recipe.task}'")


def _data(recipe: Recipe) -> Iterator[FieldProblem]:
    data, document = recipe.data, recipe.task == "language_modeling"
    yield from _sources(recipe)
    if data.messages is not None and data.text_template is not None:
        yield FieldProblem(
            ("data", "messages"), "data.messages and data.text_template are both given; keep one of them"
        )
    elif data.messages is None and data.text_template is None and not (document and data.answer):
        yield FieldProblem(("data", "text_template"), "data.text_template is missing (or data.messages for chat rows)")
    if not isinstance(data.messages, str) and data.answer is None and not document:
        yield FieldProblem(("data", "answer"), "data.answer is missing: the field that the model must produce")
    if data.text_template is not None and data.messages is None:
        yield from _template(recipe, data.text_template)
    yield from _chat(recipe)
    if recipe.labels:
        yield from _labels(recipe)


def _sources(recipe: Recipe) -> Iterator[FieldProblem]:
    data = recipe.data
    if data.evaluate_on == "test" and not data.test:
        yield FieldProblem(("data", "evaluate_on"), "data.evaluate_on is 'test', but data.test is missing")
    validation = data.validation if isinstance(data.validation, tuple) else ()
    for name, sources in (("train", data.train), ("validation", validation), ("test", data.test)):
        for source in sources:
            try:
                parse_source(source, recipe.directory)
            except DataError as error:
                yield FieldProblem(("data", name), f"data.{name}: {_clause(error)}")


def _template(recipe: Recipe, text: str) -> Iterator[FieldProblem]:
    data, path = recipe.data, ("data", "text_template")
    try:
        template = parse_template(text)
    except RecipeError as error:
        yield FieldProblem(path, f"data.text_template: {_clause(error)}")
        return
    if not template.fields:
        yield FieldProblem(path, f"data.text_template names no field: {text!r}")
    elif data.answer is not None and recipe.task not in ("language_modeling", "sequence_classification"):
        yield from _answer_place(template, data.answer)


def _answer_place(template: Template, answer: str) -> Iterator[FieldProblem]:
    path: FieldPath = ("data", "answer")
    count = template.fields.count(answer)
    if count == 0:
        named = ", ".join(template.fields)
        yield FieldProblem(path, f"data.answer is '{answer}', which text_template does not name (it names: {named})")
    elif count > 1:
        yield FieldProblem(path, f"text_template names the answer {{{answer}}} {count} times; the model would read it")
    else:
        before, _ = template.split_at(answer)
        if not before.fields and not "".join(before.texts).strip():
            yield FieldProblem(path, f"text_template has nothing before {{{answer}}}: the model is asked nothing")


def _messages(recipe: Recipe, messages: tuple[Mapping[str, str], ...]) -> Iterator[FieldProblem]:
    """Messages that the recipe writes itself, with placeholders."""
    path: FieldPath = ("data", "messages")
    for number, message in enumerate(messages):
        if set(message) != {"role", "content"}:
            text = f"data.messages.{number} has the fields {', '.join(message) or 'none'}; expected role and content"
            yield FieldProblem((*path, str(number)), text)
            return
        try:
            parse_template(message["content"])
        except RecipeError as error:
            yield FieldProblem((*path, str(number)), f"data.messages.{number}: {_clause(error)}")
            return
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        yield FieldProblem(path, "data.messages ends with a message of the assistant, after at least one other")
        return
    answer = recipe.data.answer
    counts = [parse_template(message["content"]).fields.count(answer or "") for message in messages]
    if answer is not None and counts != [0] * (len(messages) - 1) + [1]:
        text = f"data.answer is '{answer}', which must stand once, in the last of data.messages: {{{answer}}}"
        yield FieldProblem(("data", "answer"), text)


def _chat(recipe: Recipe) -> Iterator[FieldProblem]:
    data = recipe.data
    if isinstance(data.messages, tuple):
        yield from _messages(recipe, data.messages)
    if data.messages is None:
        if data.loss_on in ("last_turn", "all_turns"):
            yield FieldProblem(
                ("data", "loss_on"), f"data.loss_on is '{data.loss_on}', which needs chat rows (data.messages)"
            )
        for name in ("chat_template", "chat_template_kwargs"):
            if getattr(data, name):
                yield FieldProblem(("data", name), f"data.{name} needs chat rows (data.messages)")
    if data.messages is not None and recipe.task in ("language_modeling", "sequence_classification"):
        yield FieldProblem(
            ("data", "messages"), f"data.messages does not go with task '{recipe.task}'; use text_template"
        )
    try:
        datetime.date.fromisoformat(data.template_date)
    except ValueError:
        text = f"data.template_date is '{data.template_date}'; expected a date such as 2024-07-26"
        yield FieldProblem(("data", "template_date"), text)


def _labels(recipe: Recipe) -> Iterator[FieldProblem]:
    if recipe.task not in CLASSIFICATIONS:
        yield FieldProblem(("labels",), f"labels need a classification; task is '{recipe.task}'")
    repeated = sorted({label for label in recipe.labels if recipe.labels.count(label) > 1})
    if repeated:
        yield FieldProblem(("labels",), f"labels hold '{repeated[0]}' twice")
    if len(recipe.labels) == 1:
        yield FieldProblem(("labels",), f"labels hold one option, '{recipe.labels[0]}'; a choice needs two")
    for label in recipe.labels:
        if label != label.strip() or not label:
            yield FieldProblem(("labels",), f"label {label!r} is empty or has white space around it")


def _slices(recipe: Recipe) -> Iterator[FieldProblem]:
    for name, predicate in recipe.data.slices.items():
        path = ("data", "slices", name)
        if not _conditions(predicate):
            text = f"slice '{name}' has no condition (equals, in, matches, min_words, max_words, min, max)"
            yield FieldProblem(path, text)
        for low, high in (("min_words", "max_words"), ("min", "max")):
            lowest, highest = getattr(predicate, low), getattr(predicate, high)
            if lowest is not None and highest is not None and lowest > highest:
                yield FieldProblem(path, f"slice '{name}' has {low} {lowest:g} above {high} {highest:g}")
        if predicate.matches is not None:
            try:
                re.compile(predicate.matches)
            except re.error as error:
                text = f"slice '{name}' has a pattern that is no regular expression: {predicate.matches!r} ({error})"
                yield FieldProblem((*path, "matches"), text)


def _conditions(predicate: SlicePredicate) -> bool:
    names = ("equals", "is_in", "matches", "min_words", "max_words", "min", "max")
    return any(getattr(predicate, name) is not None for name in names)


def _evaluation(recipe: Recipe) -> Iterator[FieldProblem]:
    asked = recipe.evaluation
    if asked.window is not None and asked.stride is not None and asked.stride >= asked.window:
        text = f"evaluation.stride is {asked.stride}; expected less than the window, {asked.window}"
        yield FieldProblem(("evaluation", "stride"), text)
    if asked.samples > 1 and asked.temperature == 0:
        text = f"evaluation.samples is {asked.samples}, but at temperature 0 all samples are equal"
        yield FieldProblem(("evaluation", "samples"), text)
    if "" in asked.stop:
        yield FieldProblem(("evaluation", "stop"), "evaluation.stop holds an empty text, which would end every answer")


def _clause(error: Exception) -> str:
    text = " ".join(str(error).splitlines()).rstrip(".")
    return text[:1].lower() + text[1:]
