"""Rows -> examples: prompt and answer by the template, references, options, ids, slices."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from slmcheck.data.digests import content_digest
from slmcheck.data.problems import Problem
from slmcheck.data.readers import Row
from slmcheck.data.rendering import CLASSIFICATIONS, Renderer, around_answer, renderer_of
from slmcheck.data.slices import slices_of
from slmcheck.data.templates import text_of
from slmcheck.records import Example, Json, Recipe, Split


@dataclass(frozen=True)
class Rendered:
    """The examples of some rows, and the rows that cannot be used."""

    examples: tuple[Example, ...]
    problems: tuple[Problem, ...]


def render_rows(recipe: Recipe, rows: Sequence[Row], split: Split) -> Rendered:
    """Every row as an example, without the options of a classification (see `with_options`)."""
    renderer = renderer_of(recipe)
    examples: list[Example] = []
    problems: list[Problem] = []
    for row in rows:
        item = _example(recipe, renderer, row, split)
        if isinstance(item, Problem):
            problems.append(item)
        else:
            examples.append(item)
    if recipe.data.id is None:
        examples = _number_equal_ids(examples)
    else:
        problems += _repeated_ids(examples, split)
    return Rendered(tuple(examples), tuple(problems))


def labels_of(recipe: Recipe, train: Sequence[Example]) -> tuple[str, ...]:
    """The options of a classification: those of the recipe, else the sorted answers of the training rows."""
    if recipe.task not in CLASSIFICATIONS:
        return ()
    return recipe.labels or tuple(sorted({reference for item in train for reference in item.references[:1]}))


def with_options(recipe: Recipe, examples: Sequence[Example], labels: Sequence[str], split: Split) -> Rendered:
    """The examples with the options of a classification; a reference that is no option is a problem."""
    if recipe.task not in CLASSIFICATIONS:
        return Rendered(tuple(examples), ())
    known, options = frozenset(labels), tuple(labels)
    whose = "labels of the recipe" if recipe.labels else "labels of the training rows"
    rendered, problems = [], []
    texts: dict[tuple[str, str], tuple[str, ...]] = {}  # rows whose answers look alike share one tuple
    for item in examples:
        unknown = [reference for reference in item.references if reference not in known]
        if unknown:
            close = get_close_matches(unknown[0], options, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            text = f"label '{unknown[0]}' is not among the {whose} ({_listed(options)}){hint}"
            problems.append(Problem(where=item.source, text=text.rstrip("?"), split=split))
            continue
        before, after = around = around_answer(recipe, item)
        if around not in texts:
            texts[around] = tuple(f"{before}{option}{after}" for option in options)
        rendered.append(replace(item, options=options, option_texts=texts[around]))
    return Rendered(tuple(rendered), tuple(problems))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:4])} and {len(names) - 4} more"


def _example(recipe: Recipe, renderer: Renderer, row: Row, split: Split) -> Example | Problem:
    """One row as an example, or why it cannot be one."""
    data, values = recipe.data, row.values
    for name in (*renderer.fields, data.references, data.id, data.group):
        if name is not None and name not in values:
            text = f"field '{name}' is missing (fields: {', '.join(values) or 'none'})"
            return Problem(where=row.where, text=text, split=split)
    parts = renderer.render(values)
    if isinstance(parts, str):
        return Problem(where=row.where, text=parts, split=split)
    references = (parts.reference,) if data.references is None else _references(values[data.references])
    if not references:
        return Problem(where=row.where, text=f"field '{data.references}' holds no reference", split=split)
    return Example(
        id=text_of(values[data.id]) if data.id is not None else content_digest(parts.identity)[:16],
        row=values,
        prompt=parts.prompt,
        answer=parts.answer,
        messages=parts.messages,
        tools=parts.tools,
        references=references,
        group=text_of(values[data.group]) if data.group is not None else None,
        slices=slices_of(values, data.slices),
        source=row.where,
    )


def _references(value: Json) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        # A CSV holds a list as JSON text.
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return (str(value).strip(),)
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(text.strip() for text in map(text_of, items) if text.strip())


def _number_equal_ids(examples: Sequence[Example]) -> list[Example]:
    seen: Counter[str] = Counter()
    numbered = []
    for item in examples:
        seen[item.id] += 1
        numbered.append(item if seen[item.id] == 1 else replace(item, id=f"{item.id}-{seen[item.id]}"))
    return numbered


def _repeated_ids(examples: Sequence[Example], split: Split) -> list[Problem]:
    first: dict[str, str] = {}
    problems = []
    for item in examples:
        if item.id in first:
            text = f"id '{item.id}' is already that of {first[item.id]}"
            problems.append(Problem(where=item.source, text=text, split=split))
        first.setdefault(item.id, item.source)
    return problems
