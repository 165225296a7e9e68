"""The `options` of a recipe as the dataclass that its trainer declares, and what every trainer checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TypeVar, cast

from slmcheck.errors import RecipeError
from slmcheck.recipes.documents import node_of
from slmcheck.recipes.structure import StructureReader
from slmcheck.records import Recipe
from slmcheck.training.losses import loss_problems

Options = TypeVar("Options")

SCHEDULERS = (
    "constant",
    "constant_with_warmup",
    "cosine",
    "cosine_with_restarts",
    "inverse_sqrt",
    "linear",
    "polynomial",
)
"""Learning-rate schedules of transformers that need no arguments of their own."""

OPTIMIZERS = ("adafactor", "adagrad", "adamw_torch", "adamw_torch_fused", "rmsprop", "sgd")
"""Optimizers of transformers that need no further library."""

REPORTERS = {"tensorboard": "tensorboard"}
"""What `report_to` may name, and the library that it needs."""


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The options of a trainer that has none."""


def read_options(kind: type[Options], recipe: Recipe) -> Options:
    """The options of `recipe` as `kind`, a dataclass whose fields all have defaults.

    Raises:
        RecipeError: If an option is unknown or of another type; lists every problem.
    """
    reader = StructureReader()
    options = reader.record(kind, node_of(recipe.options), ("options",))
    if reader.problems:
        raise recipe_error(recipe, [problem.text for problem in reader.problems])
    return cast("Options", options)


def loop_problems(recipe: Recipe, *, optimizers: Sequence[str] = OPTIMIZERS) -> list[str]:
    """What the shared loop cannot carry out of `recipe`, one sentence each; field ranges are checked elsewhere.

    Args:
        recipe: The recipe.
        optimizers: What its trainer takes for `optim`.
    """
    problems = []
    if recipe.task == "sequence_classification":
        problems.append(
            f"task is 'sequence_classification', a classification head, which trainer '{recipe.trainer}' does not "
            "train; use 'classification', where the labels are answers that the language model gives"
        )
    if recipe.lr_scheduler_type not in SCHEDULERS:
        problems.append(_unknown("lr_scheduler_type", recipe.lr_scheduler_type, SCHEDULERS))
    if recipe.optim not in optimizers:
        problems.append(_unknown("optim", recipe.optim, optimizers))
    problems += loss_problems(recipe)
    reporter = recipe.report_to or "none"
    if reporter not in ("none", *REPORTERS):
        problems.append(_unknown("report_to", reporter, ("none", *REPORTERS)))
    elif reporter != "none" and find_spec(REPORTERS[reporter]) is None:
        problems.append(f"report_to is '{reporter}', which is not installed; pip install {REPORTERS[reporter]}")
    return problems


def recipe_error(recipe: Recipe, problems: Sequence[str]) -> RecipeError:
    """The error that lists all `problems` of a recipe, one line each."""
    where = f" ({recipe.path})" if recipe.path is not None else ""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    sentences = [problem if problem.endswith((".", "?")) else problem + "." for problem in problems]
    return RecipeError("\n".join([f"Recipe '{recipe.name}'{where} has {count}.", *sentences]))


def _unknown(field: str, value: str, known: Sequence[str]) -> str:
    close = get_close_matches(value, known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"{field} is '{value}'; expected one of {', '.join(known)}{hint}"
