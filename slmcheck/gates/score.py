"""`Score`, a number that remembers its evidence: comparing it is judging it.

    run.accuracy >= 0.85                    a level
    run.f1 >= baseline.f1 - 0.01            no worse by more than a margin
    run.accuracy > run.base.accuracy        better
    run.f1 - baseline.f1 >= -0.01           the same as the second line
    abs(run.f1 - other.f1) <= 0.005         equivalent

Only operators written in code judge. `max`, `min` and `sorted` compare by value and record nothing; `round`, `float`
and `==` give plain numbers and truths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from numbers import Real
from typing import NoReturn, cast, overload

from slmcheck.errors import MixedScoresError, UndefinedScoreError
from slmcheck.gates.claims import Operator
from slmcheck.gates.comparing import (
    Side,
    change_verdict,
    equivalence_verdict,
    good_operator,
    level_verdict,
    require_same_metric,
)
from slmcheck.gates.difference import Change
from slmcheck.gates.evidence import Evidence, Measurement, MetricInfo, ScoreSource
from slmcheck.gates.judged import Judged
from slmcheck.gates.levels import level_of
from slmcheck.gates.missing import MissingScore
from slmcheck.gates.policy import active_policy, record
from slmcheck.gates.verdict import Verdict


class Score(Judged):
    """The value of a metric with everything that is needed to judge it.

    `Score + number`, `Score - number`, `Score * number` and `Score / number` keep the evidence; `Score - Score` is a
    `Change`. Other arithmetic between two scores is an error; functions of one score give plain numbers.
    """

    _side: Side

    def __new__(
        cls,
        value: float,
        *,
        metric: MetricInfo,
        source: ScoreSource,
        evidence: Evidence | None = None,
        interval: tuple[float, float] | None = None,
        n: int | None = None,
    ) -> Score:
        """A score as a metric made it.

        Args:
            value: The value of the metric.
            metric: What a comparison must know of the metric.
            source: Whose score it is.
            evidence: What each example contributed; None where the metric gives one number for all.
            interval: A 95 % interval that the metric made itself, where there is no evidence.
            n: How many examples there were, where there is no evidence.

        Raises:
            UndefinedScoreError: If the value is not a finite number.
        """
        if not math.isfinite(value):
            raise UndefinedScoreError(
                f"{metric.name} of {source.name} is {float(value)}.\n"
                "A score is a finite number; the metric has no value on these predictions."
            )
        return cls.of(
            Measurement(
                value=float(value),
                metric=metric,
                source=source,
                evidence=evidence,
                known_interval=interval,
                known_count=n,
            )
        )

    @classmethod
    def of(cls, measurement: Measurement, side: Side | None = None) -> Score:
        """The score of a measurement, or of a measurement moved by arithmetic."""
        side = side or Side(measurement=measurement, text=measurement.label)
        self = float.__new__(cls, side.value)
        self._side, self._memo = side, {}
        return self

    @property
    def measurement(self) -> Measurement:
        """The score before any arithmetic, with all it carries."""
        return self._side.measurement

    @property
    def side(self) -> Side:
        """The score as it stands in a comparison."""
        return self._side

    @property
    def metric(self) -> MetricInfo:
        """What a comparison must know of the metric."""
        return self.measurement.metric

    @property
    def source(self) -> ScoreSource:
        """Whose score it is."""
        return self.measurement.source

    @property
    def evidence(self) -> Evidence | None:
        """What each example contributed; of the evaluation split for a gap."""
        return self.measurement.evidence

    @property
    def n(self) -> int:
        """Examples behind the score; 0 where they are not known."""
        return self.measurement.n

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The two-sided 95 % interval; None where nothing is known of its uncertainty."""
        level = level_of(self.measurement)
        if level is None:
            return None
        low, high = sorted(self._side.factor * bound + self._side.offset for bound in (level.low, level.high))
        return low, high

    def __repr__(self) -> str:
        return f"{self._side.text} {float(self):.6g}"

    def at_least(self, threshold: float, *, confidence: float | None = None) -> Verdict:
        """Judge `self >= threshold`.

        Args:
            threshold: A number.
            confidence: Of the two-sided interval whose lower bound must clear the threshold; stating it requires
                proof under every policy.
        """
        text = self._keyword("at_least", f"{threshold:g}", confidence=confidence)
        return record(level_verdict(self._side, ">=", threshold, text, confidence))

    def at_most(self, threshold: float, *, confidence: float | None = None) -> Verdict:
        """Judge `self <= threshold`; see `at_least`."""
        text = self._keyword("at_most", f"{threshold:g}", confidence=confidence)
        return record(level_verdict(self._side, "<=", threshold, text, confidence))

    def no_worse_than(
        self,
        other: Score | MissingScore,
        *,
        margin: float | None = None,
        alpha: float | None = None,
        confidence: float | None = None,
    ) -> Verdict:
        """Judge that the score is no worse than another one by more than a margin.

        Args:
            other: A score of the same metric.
            margin: How much worse is allowed; a share of the other score where the metric's margin is relative. None
                takes the margin of the session for this metric, else the metric's own.
            alpha: One-sided level of test and bounds, in place of the session's.
            confidence: Of the two-sided interval of the change; stating it requires proof under every policy.
        """
        allowed = self._allowed(margin)
        text = self._keyword("no_worse_than", other, margin=allowed, alpha=alpha, confidence=confidence)
        if isinstance(other, MissingScore):
            return other.judge(text, self.measurement)
        target = self._worsened(other, allowed)
        operator = good_operator(self.metric)
        return record(change_verdict(self._side, operator, target, text, alpha=alpha, confidence=confidence))

    def better_than(
        self,
        other: Score | MissingScore,
        *,
        by: float = 0.0,
        alpha: float | None = None,
        confidence: float | None = None,
    ) -> Verdict:
        """Judge that the score is better than another one, by at least `by` where that is given.

        Args:
            other: A score of the same metric.
            by: How much better; a share of the other score where the metric's margin is relative.
            alpha: One-sided level of the bounds, in place of the session's.
            confidence: Of the two-sided interval of the change; stating it requires proof under every policy.
        """
        text = self._keyword("better_than", other, by=by or None, alpha=alpha, confidence=confidence)
        if isinstance(other, MissingScore):
            return other.judge(text, self.measurement)
        operator = good_operator(self.metric)
        strict: Operator = ">" if operator == ">=" else "<"
        target = self._worsened(other, -by) if by else other.side
        return record(
            change_verdict(self._side, operator if by else strict, target, text, alpha=alpha, confidence=confidence)
        )

    def equivalent_to(
        self,
        other: Score | MissingScore,
        *,
        margin: float | None = None,
        alpha: float | None = None,
        confidence: float | None = None,
    ) -> Verdict:
        """Judge that two scores differ by no more than a margin in either direction: for parity of one model.

        Proven when both bounds lie within the margin (two one-sided tests).

        Args:
            other: A score of the same metric.
            margin: How far apart they may be; as in `no_worse_than`.
            alpha: One-sided level of each bound, in place of the session's.
            confidence: Of the two-sided interval of the change; stating it requires proof under every policy.
        """
        allowed = self._allowed(margin)
        text = self._keyword("equivalent_to", other, margin=allowed, alpha=alpha, confidence=confidence)
        if isinstance(other, MissingScore):
            return other.judge(text, self.measurement)
        size = abs(other.measurement.value)
        within = allowed * size if self.metric.margin_kind == "relative" else allowed
        if self.metric.change_scale == "log":
            within = math.log1p(within / size)
        verdict = equivalence_verdict(
            self.measurement, other.measurement, within, text, alpha=alpha, confidence=confidence
        )
        return record(verdict)

    def __add__(self, other: object) -> Score:
        return self._arithmetic(other, lambda number: (1.0, number), "{0} + {1}", "added")

    def __radd__(self, other: object) -> Score:
        return self._arithmetic(other, lambda number: (1.0, number), "{1} + {0}", "added")

    @overload  # type: ignore[override]
    def __sub__(self, other: Score) -> Change: ...  # type: ignore[overload-overlap]  # a Score is a float, too

    @overload
    def __sub__(self, other: MissingScore) -> MissingScore: ...

    @overload
    def __sub__(self, other: float) -> Score: ...

    def __sub__(self, other: object) -> Score | Change | MissingScore:
        if isinstance(other, Score):
            require_same_metric(self.measurement, other.measurement, "subtracted")
            return Change.of(self._side, other._side, f"{self._side.text} - {_wrapped(other._side.text)}")
        if isinstance(other, MissingScore):
            return MissingScore(f"{self._side.text} - {_wrapped(other.text)}", other.message, self.measurement)
        return self._arithmetic(other, lambda number: (1.0, -number), "{0} - {1}", "subtracted")

    def __rsub__(self, other: object) -> Score:
        return self._arithmetic(other, lambda number: (-1.0, number), "{1} - {0}", "subtracted", wrap=True)

    def __mul__(self, other: object) -> Score:
        return self._arithmetic(other, lambda number: (number, 0.0), "{0} * {1}", "multiplied", wrap=True)

    def __rmul__(self, other: object) -> Score:
        return self._arithmetic(other, lambda number: (number, 0.0), "{1} * {0}", "multiplied", wrap=True)

    def __truediv__(self, other: object) -> Score:
        return self._arithmetic(other, lambda number: (1.0 / number, 0.0), "{0} / {1}", "divided", wrap=True)

    def __neg__(self) -> Score:
        return Score.of(self.measurement, self._side.moved(f"-{_wrapped(self._side.text)}", factor=-1.0))

    def _arithmetic(
        self,
        other: object,
        move: Callable[[float], tuple[float, float]],
        form: str,
        verb: str,
        *,
        wrap: bool = False,
    ) -> Score:
        if isinstance(other, Judged | MissingScore):
            _refuse_arithmetic(self, other, verb)
        if not isinstance(other, Real):
            return cast("Score", NotImplemented)
        factor, offset = move(float(other))
        text = _wrapped(self._side.text) if wrap else self._side.text
        moved = self._side.moved(form.format(text, f"{float(other):g}"), factor=factor, offset=offset)
        return Score.of(self.measurement, moved)

    def _judge(self, operator: Operator, other: object) -> Verdict | None:
        if isinstance(other, Score):
            text = f"{self._side.text} {operator} {other._side.text}"
            return change_verdict(self._side, operator, other._side, text)
        if isinstance(other, MissingScore):
            return other.judge(f"{self._side.text} {operator} {other.text}", self.measurement)
        if isinstance(other, Judged):
            raise MixedScoresError(
                f"{self._side.text} is a score and {other!r} a change: they cannot be compared. "
                "Compare a score with a score or a number, and a change with a number."
            )
        if not isinstance(other, Real):
            return None
        return level_verdict(self._side, operator, float(other), f"{self._side.text} {operator} {float(other):g}")

    def _allowed(self, margin: float | None) -> float:
        if margin is not None:
            return margin
        return active_policy().margins.get(self.metric.name, self.metric.margin)

    def _worsened(self, other: Score, by: float) -> Side:
        """Another score made worse by a margin of this metric."""
        size = -self.metric.sign * by
        if self.metric.margin_kind == "relative":
            return other._side.moved(f"{other._side.text} * {1.0 + size:g}", factor=1.0 + size)
        return other._side.moved(f"{other._side.text} {'+' if size >= 0 else '-'} {abs(size):g}", offset=size)

    def _keyword(self, name: str, other: Score | MissingScore | str, **options: float | None) -> str:
        operand = other._side.text if isinstance(other, Score) else getattr(other, "text", other)
        given = "".join(f", {key}={value:g}" for key, value in options.items() if value is not None)
        return f"{self._side.text}.{name}({operand}{given})"


def _wrapped(text: str) -> str:
    return f"({text})" if " " in text else text


def _refuse_arithmetic(score: Score, other: object, verb: str) -> NoReturn:
    hint = "Write `a <= b * 1.2` for a ratio." if verb == "divided" else "Take float() of both for the bare number."
    raise MixedScoresError(
        f"{score!r} and {other!r} cannot be {verb}: the result would have no evidence to judge. {hint}"
    )
