"""The three splits of a recipe: rows read, rendered, and training rows set aside for validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from slmcheck.data.examples import labels_of, render_rows, with_options
from slmcheck.data.holdout import hold_out
from slmcheck.data.problems import Problem, data_error, shortened
from slmcheck.data.readers import read_sources
from slmcheck.data.rendering import CLASSIFICATIONS, renderer_of
from slmcheck.records import Example, Json, Recipe, Split

SUBSET_LIMIT = 500
"""At most so many training rows are predicted for the gap."""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The examples of a recipe by split."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()
    labels: tuple[str, ...] = ()
    """Options of a classification; empty for other tasks."""
    identities: Mapping[Split, Json] = field(default_factory=dict)
    """What stands for a split in a key where its rows come from a hub: repository, commit, split expression."""

    def of(self, split: Split) -> tuple[Example, ...]:
        """The examples of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def evaluation_split(self, recipe: Recipe) -> Split:
        """The split that scores are of: test, else validation."""
        return "validation" if recipe.evaluates_on_validation else "test"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What could be read of a recipe's data, and everything that is wrong with it."""

    splits: Splits
    problems: tuple[Problem, ...]
    rows: int


def load_splits(recipe: Recipe) -> Splits:
    """The examples of all splits of a recipe.

    Raises:
        DataError: If any row, file or split cannot be used; lists every problem with file and line.
        MissingExtraError: If a format needs a library that is not installed.
    """
    inspection = inspect(recipe)
    if inspection.problems:
        raise data_error(recipe, inspection.problems, rows=inspection.rows, expected=expectation(recipe))
    return inspection.splits


def inspect(recipe: Recipe) -> Inspection:
    """As `load_splits`, but returns the problems beside what could be read."""
    data, problems = recipe.data, list[Problem]()
    share = None if isinstance(data.validation, tuple) else data.validation
    sources: dict[Split, tuple[str, ...]] = {
        "train": data.train,
        "validation": data.validation if isinstance(data.validation, tuple) else (),
        "test": data.test,
    }
    examples: dict[Split, tuple[Example, ...]] = {}
    identities: dict[Split, Json] = {}
    rows = 0
    for split, texts in sources.items():
        table = read_sources(texts, recipe.directory, split)
        rendered = render_rows(recipe, table.rows, split)
        examples[split] = rendered.examples
        problems += (*table.problems, *rendered.problems)
        rows += len(table.rows) + len(table.problems)
        if table.identity is not None:
            identities[split] = table.identity
    labels = labels_of(recipe, examples["train"] or examples["test"] or examples["validation"])
    for split in examples:
        optioned = with_options(recipe, examples[split], labels, split)
        examples[split] = optioned.examples
        problems += optioned.problems
    problems += _lonely_classes(recipe, examples["train"], problems)
    train, validation = examples["train"], examples["validation"]
    if share is not None:
        train, validation = hold_out(train, share, stratified=recipe.task in CLASSIFICATIONS)
        if examples["train"] and not validation and not problems:
            count = len(examples["train"])
            text = f"{count} training rows leave none for validation (rows with equal inputs or groups stay together)"
            problems.append(Problem(where=", ".join(data.train), text=text, split="validation"))
    splits = Splits(train=train, validation=validation, test=examples["test"], labels=labels, identities=identities)
    return Inspection(splits=splits, problems=tuple(problems), rows=rows)


def load_examples(
    recipe: Recipe, sources: Sequence[str], split: Split = "test", *, labels: Sequence[str] | None = None
) -> tuple[Example, ...]:
    """The examples of other sources under a recipe's template.

    Args:
        recipe: Supplies template, answer, references, ids and slices.
        sources: Files or hub data sets; relative paths start at the recipe's folder.
        split: What the rows are called in messages.
        labels: Options of a classification; without them those of the recipe, else of its training rows.

    Raises:
        DataError: If any row or file cannot be used; lists every problem with file and line.
    """
    table = read_sources(sources, recipe.directory, split)
    rendered = render_rows(recipe, table.rows, split)
    if labels is None and recipe.task in CLASSIFICATIONS and not recipe.labels:
        known = render_rows(recipe, read_sources(recipe.data.train, recipe.directory, "train").rows, "train")
        labels = labels_of(recipe, known.examples or rendered.examples)
    optioned = with_options(recipe, rendered.examples, labels or recipe.labels, split)
    problems = (*table.problems, *rendered.problems, *optioned.problems)
    if problems:
        raise data_error(recipe, problems, rows=len(table.rows) + len(table.problems), expected=expectation(recipe))
    return optioned.examples


def train_subset(splits: Splits, n_eval: int) -> tuple[Example, ...]:
    """The training rows that the gap compares with: the min(n_eval, 500) with the smallest ids, in order of ids."""
    return tuple(sorted(splits.train, key=lambda item: item.id)[: min(n_eval, SUBSET_LIMIT)])


def expectation(recipe: Recipe) -> str:
    """A sentence that says what every row of a recipe needs."""
    fields = dict.fromkeys(renderer_of(recipe).fields)
    if isinstance(recipe.data.messages, str):
        return f"Every row needs '{recipe.data.messages}': messages that end with the assistant's answer."
    return f"Every row needs the fields of the template: {', '.join(fields)}."


def _lonely_classes(recipe: Recipe, train: Sequence[Example], earlier: Sequence[Problem]) -> list[Problem]:
    """Classes with one training row: nothing is left to learn from once it validates, or to validate once it trains."""
    if recipe.task not in CLASSIFICATIONS or any(problem.split == "train" for problem in earlier):
        return []
    by_label: dict[str, list[Example]] = {}
    for item in train:
        by_label.setdefault(item.references[0], []).append(item)
    return [
        Problem(
            where=items[0].source,
            text=f"class '{shortened(label)}' has one training row; add another, or drop the class",
            split="train",
        )
        for label, items in sorted(by_label.items())
        if len(items) == 1
    ]
