"""What a test claims, read from its source: so that a session knows before any training what it must prove.

Only comparisons written out in the test are seen: `run.f1 >= baseline.f1 - 0.01`, `run.accuracy >= 0.85`, factors of a
baseline and the keyword forms. What is computed elsewhere is judged all the same, but not planned.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Claim:
    """One comparison with a constant or with a baseline."""

    metric: str
    kind: Literal["level", "no_worse"]
    threshold: float | None = None
    margin: float | None = None
    """Absolute tolerance, or the factor's distance from 1 where `is_relative`; None is the metric's own."""
    is_relative: bool = False


def claims_of(function: Callable[..., object]) -> list[Claim]:
    """The claims that the source of a test function writes out, in order."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return []
    return list(_claims(tree))


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
        return Claim(metric, "no_worse", margin=margins[0] if margins else None)
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
