"""Numbers whose comparisons are judged, and how they tell an operator from a call of `sorted`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from numbers import Real
from opcode import opmap
from typing import TypeAlias, cast

from slmcheck.gates.claims import MIRRORED, Operator
from slmcheck.gates.policy import Policy, active_policy, record
from slmcheck.gates.verdict import Verdict

_COMPARE = opmap["COMPARE_OP"]
_BY_VALUE: dict[Operator, Callable[[float, float], bool]] = {
    ">=": float.__ge__,
    ">": float.__gt__,
    "<=": float.__le__,
    "<": float.__lt__,
}
_Memo: TypeAlias = dict[tuple[str, int, float], tuple[object, Policy, Verdict]]


class Judged(float):
    """A number whose comparisons are judged; remembers the verdict of each operator and operand.

    Remembering serves two readers: pytest's assertion hook, which gets the operands back and asks `verdict_of`, and
    chained comparisons, which judge several bounds of one object.
    """

    _memo: _Memo
    # numpy's scalars give way to it in `np.float64(0.9) <= score`, which then judges as `0.9 <= score` does.
    __array_priority__ = 1000.0

    def _judge(self, operator: Operator, other: object) -> Verdict | None:
        raise NotImplementedError

    def __repr__(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return float.__repr__(self)

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        """Copies and pickles are plain numbers, because evidence holds functions."""
        return float, (float(self),)

    def __ge__(self, other: object) -> Verdict:  # type: ignore[override]
        return self._compared(">=", other)

    def __gt__(self, other: object) -> Verdict:  # type: ignore[override]
        return self._compared(">", other)

    def __le__(self, other: object) -> Verdict:  # type: ignore[override]
        return self._compared("<=", other)

    def __lt__(self, other: object) -> Verdict:  # type: ignore[override]
        return self._compared("<", other)

    def _compared(self, operator: Operator, other: object) -> Verdict:
        if isinstance(other, Real) and not _is_written_comparison():
            # `sorted` and `max` only ask for the truth of what they get.
            return cast("Verdict", _BY_VALUE[operator](self, float(other)))
        policy, key = active_policy(), _memo_key(operator, other)
        known = self._memo.get(key)
        if known is not None and known[1] == policy:
            return record(known[2])
        verdict = self._judge(operator, other)
        if verdict is None:
            return cast("Verdict", NotImplemented)
        self._memo[key] = (other, policy, verdict)
        return record(verdict)


def verdict_of(left: object, operator: str, right: object) -> Verdict | None:
    """The verdict of a comparison that was made, for those who get only its operands, as pytest's hooks do."""
    if operator not in MIRRORED:
        return None
    for judged, other, direction in ((left, right, operator), (right, left, MIRRORED[operator])):
        if isinstance(judged, Judged):
            known = judged._memo.get(_memo_key(direction, other))
            if known is not None:
                return known[2]
    return None


def _memo_key(operator: Operator, other: object) -> tuple[str, int, float]:
    """Numbers by value; scores by identity, which the memo keeps alive."""
    if isinstance(other, Real) and not isinstance(other, Judged):
        return operator, 0, float(other)
    return operator, id(other), 0.0


def _is_written_comparison() -> bool:
    """Whether the running Python code executes a comparison itself, rather than a call of `sorted` or `max`."""
    frame = sys._getframe(3)  # this function, _compared, the operator method, then the code that compares
    return frame.f_code.co_code[frame.f_lasti] == _COMPARE
