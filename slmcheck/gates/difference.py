"""A score minus a score: judged like the comparison that it rearranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import cast

from slmcheck.errors import MixedScoresError
from slmcheck.gates.claims import MIRRORED, Operator
from slmcheck.gates.comparing import Side, change_verdict, equivalence_verdict
from slmcheck.gates.evidence import Measurement
from slmcheck.gates.judged import Judged
from slmcheck.gates.missing import MissingScore
from slmcheck.gates.verdict import Verdict


class Change(Judged):
    """One score minus another of the same metric; comparing it with a number judges the two scores.

    `a - b >= -0.01` is `a >= b - 0.01`. Adding a number or multiplying by one keeps the two scores.
    """

    _left: Side
    _right: Side
    _text: str
    _factor: float
    _offset: float

    @classmethod
    def of(cls, left: Side, right: Side, text: str, *, factor: float = 1.0, offset: float = 0.0) -> Change:
        """`factor * (left - right) + offset`."""
        self = float.__new__(cls, factor * (left.value - right.value) + offset)
        self._left, self._right, self._text = left, right, text
        self._factor, self._offset, self._memo = factor, offset, {}
        return self

    def __repr__(self) -> str:
        return f"{self._text} {float(self):+.6g}"

    def _judge(self, operator: Operator, other: object) -> Verdict | None:
        if isinstance(other, Judged | MissingScore):
            raise MixedScoresError(f"{self._text} is a change: compare it with a number.")
        if not isinstance(other, Real):
            return None
        text = f"{self._text} {operator} {float(other):g}"
        distance = (float(other) - self._offset) / self._factor
        direction = operator if self._factor > 0.0 else MIRRORED[operator]
        moved = self._right.moved(self._right.text, offset=distance)
        return change_verdict(self._left, direction, moved, text)

    def __abs__(self) -> float:
        """A `Distance` of two scores as they are; of a moved difference (pytest's approx makes one) a plain number."""
        untouched = [(side.factor, side.offset) for side in (self._left, self._right)]
        if {*untouched, (self._factor, self._offset)} == {(1.0, 0.0)}:
            return Distance.of(self)
        return abs(float(self))

    def __add__(self, other: object) -> Change:
        return self._arithmetic(other, lambda number: (1.0, number), "{0} + {1}")

    def __radd__(self, other: object) -> Change:
        return self._arithmetic(other, lambda number: (1.0, number), "{1} + {0}")

    def __sub__(self, other: object) -> Change:
        return self._arithmetic(other, lambda number: (1.0, -number), "{0} - {1}")

    def __rsub__(self, other: object) -> Change:
        return self._arithmetic(other, lambda number: (-1.0, number), "{1} - ({0})")

    def __mul__(self, other: object) -> Change:
        return self._arithmetic(other, lambda number: (number, 0.0), "({0}) * {1}")

    def __rmul__(self, other: object) -> Change:
        return self._arithmetic(other, lambda number: (number, 0.0), "{1} * ({0})")

    def __truediv__(self, other: object) -> Change:
        return self._arithmetic(other, lambda number: (1.0 / number, 0.0), "({0}) / {1}")

    def __neg__(self) -> Change:
        return self._arithmetic(-1.0, lambda number: (number, 0.0), "-({0})")

    def _arithmetic(self, other: object, move: Callable[[float], tuple[float, float]], form: str) -> Change:
        if isinstance(other, Judged | MissingScore):
            raise MixedScoresError(
                f"{self._text} is a change: add a number to it or multiply it by one, not by {other!r}."
            )
        if not isinstance(other, Real):
            return cast("Change", NotImplemented)
        factor, offset = move(float(other))
        if factor == 0.0:
            raise MixedScoresError(f"{self._text} times 0 leaves nothing to judge.")
        return Change.of(
            self._left,
            self._right,
            form.format(self._text, f"{float(other):g}"),
            factor=self._factor * factor,
            offset=self._offset * factor + offset,
        )


class Distance(Judged):
    """How far apart two scores are: `abs(a - b) <= margin` judges that they are equivalent."""

    _left: Measurement
    _right: Measurement
    _text: str

    @classmethod
    def of(cls, change: Change) -> Distance:
        """The absolute value of a change that no number moved."""
        self = float.__new__(cls, abs(float(change)))
        self._left, self._right = change._left.measurement, change._right.measurement
        self._text, self._memo = f"abs({change._text})", {}
        return self

    def __repr__(self) -> str:
        return f"{self._text} {float(self):.6g}"

    def _judge(self, operator: Operator, other: object) -> Verdict | None:
        if not isinstance(other, Real) or isinstance(other, Judged):
            return None
        text = f"{self._text} {operator} {float(other):g}"
        if operator not in ("<=", "<"):
            raise MixedScoresError(f"{text}: a distance is judged as abs(score - score) <= number.")
        left, right, within = self._left, self._right, float(other)
        if left.metric.change_scale == "log":
            within = math.log1p(within / right.value)
        return equivalence_verdict(left, right, within, text)
