"""What a recipe's `loss: "losses.py:MyLoss"` names, read without running it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slmcheck.records import Recipe

PAIR_PARAMETERS = 3
"""A loss of two vectors and whether they differ: (output1, output2, label)."""


@dataclass(frozen=True)
class LossSource:
    """A loss of the user's own."""

    path: Path
    name: str
    form: Literal["batch", "pair"]
    """`batch` takes one LossBatch; `pair` two tensors of states and, for each pair, whether the answers differ."""


def loss_problems(recipe: Recipe) -> list[str]:
    """What is wrong with the `loss` of a recipe, one sentence each; its file is read and not run."""
    found = _find(recipe)
    if isinstance(found, LossSource):
        if found.form == "pair" and recipe.per_device_train_batch_size < 2:
            return [
                f"loss is '{recipe.loss}', a loss of pairs of rows, and per_device_train_batch_size is "
                f"{recipe.per_device_train_batch_size}; expected 2 or more"
            ]
        return []
    return [] if found is None else [found]


def loss_of(recipe: Recipe) -> LossSource | None:
    """The loss that a checked recipe names; None is cross-entropy.

    Raises:
        ValueError: If the recipe has a problem that `loss_problems` lists.
    """
    found = _find(recipe)
    if isinstance(found, str):
        raise ValueError(found)
    return found


def _find(recipe: Recipe) -> LossSource | str | None:
    if recipe.loss is None:
        return None
    file, _, name = recipe.loss.partition(":")
    if not file.endswith(".py") or not name.isidentifier():
        return f"loss is '{recipe.loss}'; expected a Python file beside the recipe and a name in it: 'losses.py:MyLoss'"
    path = (recipe.directory / file).resolve()
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except OSError as error:
        return f"loss is '{recipe.loss}', and {path} cannot be read: {error.strerror}"
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return f"loss is '{recipe.loss}', and {path} is no Python: {error.args[0]} (line {line})"
    defined = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    if name not in defined:
        names = ", ".join(defined) or "nothing"
        return f"loss is '{recipe.loss}', and {path.name} defines no '{name}'; it defines {names}"
    count = _parameters(defined[name])
    if count not in (1, PAIR_PARAMETERS):
        called = "" if count is None else f"; it takes {count} arguments"
        return (
            f"loss is '{recipe.loss}'; expected a function or a class with __call__ or forward that takes one "
            f"LossBatch, or (output1, output2, label) for a loss of pairs{called}"
        )
    return LossSource(path, name, "pair" if count == PAIR_PARAMETERS else "batch")


def _parameters(node: ast.ClassDef | ast.FunctionDef) -> int | None:
    """How many arguments a call takes; None for a class that cannot be called."""
    if isinstance(node, ast.FunctionDef):
        return len(node.args.args)
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    called = methods.get("__call__") or methods.get("forward")
    return None if called is None else len(called.args.args) - 1
