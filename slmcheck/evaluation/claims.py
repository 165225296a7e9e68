"""What tests claim, read from their source: so that it is known before any training what must be proven.

Only comparisons written out in a test are seen: `run.f1 >= baseline.f1 - 0.01`, `run.accuracy >= 0.85`, factors of a
baseline and the keyword forms. What is computed elsewhere is judged all the same, but not planned. Marks are read where
their arguments are constants.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from slmcheck.gates import MetricInfo

_TEST_FILES = ("test_*.py", "*_test.py")


@dataclass(frozen=True)
class Claim:
    """One comparison with a constant or with a baseline."""

    metric: str
    kind: Literal["level", "no_worse"]
    threshold: float | None = None
    margin: float | None = None
    """Absolute tolerance, or the factor's distance from 1 where `is_relative`; None is the metric's own."""
    is_relative: bool | None = False
    """None where the kind of margin is the metric's, as in the keyword forms."""
    is_primary: bool = False
    """Whether its test decides a release."""

    def margin_of(self, metric: MetricInfo) -> float | None:
        """The margin on the scale of the metric's changes; None where it depends on the baseline's value.

        A factor is a distance on the logarithmic scale, whatever the baseline; on another scale, as for a sum on the
        logarithmic one, the metric's own margin stands in.
        """
        is_logarithmic = metric.change_scale == "log"
        is_relative = metric.margin_kind == "relative" if self.is_relative is None else self.is_relative
        if self.margin is None or is_logarithmic != is_relative:
            return 0.0 if self.margin == 0.0 else None
        return abs(math.log(1.0 - metric.sign * self.margin)) if is_logarithmic else self.margin


def claims_of(function: Callable[..., object]) -> list[Claim]:
    """The claims that the source of a test function writes out, in order."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return []
    return list(_claims(tree))


def claims_beside(recipe: Path) -> list[Claim]:
    """The claims that the test files beside a recipe make of it; those that Python cannot read make none."""
    found: list[Claim] = []
    for path in sorted({path for pattern in _TEST_FILES for path in recipe.parent.glob(pattern)}):
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue  # pytest tells of it when the suite runs
        found += _claims_of_tests(tree.body, _marks(tree.body), recipe.name)
    return found


def _claims_of_tests(body: Sequence[ast.stmt], outer: Sequence[ast.expr], recipe: str) -> Iterator[Claim]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _claims_of_tests(node.body, [*node.decorator_list, *_marks(node.body), *outer], recipe)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            marks = [*node.decorator_list, *outer]
            if any(argument.arg == "run" for argument in node.args.args) and _is_for(recipe, marks):
                is_primary = any(_name_of(mark) == "slm_primary" for mark in marks)
                yield from (replace(claim, is_primary=is_primary) for claim in _claims(node))


def _marks(body: Sequence[ast.stmt]) -> list[ast.expr]:
    """What a module or class assigns to `pytestmark`."""
    for node in body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets):
            return list(node.value.elts) if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
    return []


def _is_for(recipe: str, marks: Sequence[ast.expr]) -> bool:
    """Whether the innermost `slm_run` mark names the recipe; a test without one is run for every recipe beside it."""
    for mark in marks:
        if isinstance(mark, ast.Call) and _name_of(mark) == "slm_run":
            values = [*(keyword.value for keyword in mark.keywords if keyword.arg == "recipes"), *mark.args]
            names = [node.value for value in values for node in ast.walk(value) if isinstance(node, ast.Constant)]
            return recipe in names
    return True


def _name_of(mark: ast.expr) -> str:
    target = mark.func if isinstance(mark, ast.Call) else mark
    return target.attr if isinstance(target, ast.Attribute) else ""


def _claims(tree: ast.AST) -> Iterator[Claim]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            claim = _comparison(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            claim = _keyword_form(node)
        else:
            claim = None
        if claim is not None:
            yield claim


def _comparison(node: ast.Compare) -> Claim | None:
    metric = _metric_of(node.left, "run")
    right = node.comparators[0]
    if metric is None:
        return None
    threshold = _number(right)
    if threshold is not None:
        return Claim(metric, "level", threshold=threshold)
    if _metric_of(right, "baseline") == metric:
        return Claim(metric, "no_worse", margin=0.0)
    if isinstance(right, ast.BinOp) and _metric_of(right.left, "baseline") == metric:
        number = _number(right.right)
        if number is not None and isinstance(right.op, ast.Add | ast.Sub):
            return Claim(metric, "no_worse", margin=abs(number))
        if number is not None and isinstance(right.op, ast.Mult):
            return Claim(metric, "no_worse", margin=abs(number - 1), is_relative=True)
    return None


def _keyword_form(node: ast.Call) -> Claim | None:
    function = node.func
    if not isinstance(function, ast.Attribute) or not node.args:
        return None
    metric = _metric_of(function.value, "run")
    if metric is None:
        return None
    if function.attr in ("at_least", "at_most"):
        threshold = _number(node.args[0])
        return None if threshold is None else Claim(metric, "level", threshold=threshold)
    if function.attr == "no_worse_than" and _metric_of(node.args[0], "baseline") == metric:
        margins = [_number(keyword.value) for keyword in node.keywords if keyword.arg == "margin"]
        return Claim(metric, "no_worse", margin=margins[0] if margins else None, is_relative=None)
    return None


def _metric_of(node: ast.expr, owner: str) -> str | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == owner:
        return node.attr
    return None


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    return None
