"""Everything that can be known of a recipe and its rows before training; no model library is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slmcheck import recipes
from slmcheck.data import Problem, ProblemsError, Splits, inspect
from slmcheck.data.checks import check_rows
from slmcheck.data.encoding import encode_for_training, marked
from slmcheck.data.tokenizers import TextTokenizer, read_tokenizer
from slmcheck.errors import MissingExtraError
from slmcheck.records import Example, Finding, Recipe, Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check of a recipe found."""

    recipe: Recipe
    splits: Splits
    rows: Mapping[Split, int]
    """Usable rows by split."""
    problems: tuple[Problem, ...]
    """Rows, files and splits that cannot be used."""
    findings: tuple[Finding, ...]
    """What is wrong with rows that can be used, the gravest first; empty while there are problems."""
    rendered_row: str
    """One training row as the model reads it, what is learned between [[ and ]]; empty without a row."""
    has_tokenizer: bool
    """Whether the base model's tokenizer was at hand: with it lengths and the start of the answer are checked."""

    @property
    def is_sound(self) -> bool:
        """Whether a training can start without a known problem."""
        return not self.problems and all(finding.severity != "problem" for finding in self.findings)


def check_recipe(recipe: Recipe) -> Checked:
    """Check a recipe, its base model and its rows.

    Raises:
        RecipeError: If the recipe or its base model cannot be used; lists every problem.
    """
    recipes.check(recipe)
    inspection = inspect(recipe)
    splits, problems = inspection.splits, inspection.problems
    tokenizer = tokenizer_of(recipe)
    findings: tuple[Finding, ...] = ()
    if not problems:
        try:
            findings = check_rows(recipe, splits, tokenizer)
        except ProblemsError as error:
            problems = error.problems
    return Checked(
        recipe=recipe,
        splits=splits,
        rows={split: len(splits.of(split)) for split in SPLITS},
        problems=problems,
        findings=findings,
        rendered_row=rendered(splits.train[0], recipe, tokenizer) if splits.train else "",
        has_tokenizer=tokenizer is not None,
    )


def tokenizer_of(recipe: Recipe) -> TextTokenizer | None:
    """The tokenizer of the base model; None where its files or the library that reads them are missing."""
    folder = recipes.base_model_of(recipe).folder
    if folder is None:
        return None
    try:
        return read_tokenizer(folder)
    except MissingExtraError:
        return None


def rendered(example: Example, recipe: Recipe, tokenizer: TextTokenizer | None) -> str:
    """A row as the model reads it, what is learned between [[ and ]]; without special tokens where no tokenizer is."""
    if tokenizer is not None:
        return marked(encode_for_training(example, tokenizer, recipe=recipe)[0], tokenizer)
    if example.messages:
        return "\n".join(f"{message.get('role')}: {message.get('content')}" for message in example.messages)
    learned = f"[[{example.prompt}{example.answer}]]"
    return learned if recipe.data.loss_on == "all" else f"{example.prompt}[[{example.answer}]]"
