"""The score of a baseline that nobody accepted yet."""

from __future__ import annotations

from numbers import Real
from typing import NoReturn, cast

from slmcheck.errors import MissingBaselineError
from slmcheck.gates.claims import Operator
from slmcheck.gates.evidence import Measurement
from slmcheck.gates.policy import active_policy, record
from slmcheck.gates.verdict import Verdict
from slmcheck.records import VerdictRecord


class MissingScore:
    """Stands for a baseline's score where there is none: a comparison with it is accepted or an error.

    Under a policy with `accept_missing` (`--slm-accept-baseline`) every comparison is recorded as accepted and true;
    otherwise it raises, like every other use of the value.
    """

    def __init__(self, text: str, message: str, other: Measurement | None = None) -> None:
        """Stand for a score that is written as `text`.

        Args:
            text: How the suite writes it: `baseline.f1`.
            message: Text of the error, with the command that accepts a baseline.
            other: The score that it was subtracted from or that was subtracted from it, so that the difference can be
                accepted as well.
        """
        self.text, self.message, self._other = text, message, other

    def __repr__(self) -> str:
        return f"<{self.text}: not accepted yet>"

    def judge(self, claim: str, other: Measurement) -> Verdict:
        """The verdict of a claim that compares `other` with what is missing.

        Raises:
            MissingBaselineError: If the policy does not accept missing baselines.
        """
        policy = active_policy()
        if not policy.accept_missing:
            raise MissingBaselineError(self.message)
        line = f"ACCEPTED  {other.label} {other.value:.4g}: there was no baseline, this score becomes it"
        return record(
            Verdict(
                VerdictRecord(
                    claim=claim,
                    kind="no_worse",
                    state="accepted",
                    proven=False,
                    holds=True,
                    metric=other.metric.name,
                    run=other.source.name,
                    value=other.value,
                    target_name=self.text,
                    n=other.n,
                    seeds=other.source.seeds,
                    unit=other.metric.unit,
                    higher_is_better=other.metric.higher_is_better,
                    split=other.source.split,
                    slice=other.source.slice,
                    lines=(line,),
                    notes=other.source.notes,
                    primary=policy.primary,
                    run_key=other.source.run_key,
                )
            )
        )

    def __float__(self) -> NoReturn:
        raise MissingBaselineError(self.message)

    def __abs__(self) -> MissingScore:
        return self._moved(f"abs({self.text})")

    def __neg__(self) -> MissingScore:
        return self._moved(f"-({self.text})")

    def __add__(self, number: float) -> MissingScore:
        return self._moved(f"{self.text} + {number:g}")

    def __radd__(self, number: float) -> MissingScore:
        return self._moved(f"{number:g} + {self.text}")

    def __sub__(self, other: object) -> MissingScore:
        """The difference to a number, or to a score, whose measurement is remembered."""
        measurement = getattr(other, "measurement", None)
        if isinstance(measurement, Measurement):
            return MissingScore(f"{self.text} - {measurement.label}", self.message, measurement)
        return self._moved(f"{self.text} - {other:g}" if isinstance(other, Real) else f"{self.text} - {other}")

    def __mul__(self, number: float) -> MissingScore:
        return self._moved(f"{self.text} * {number:g}")

    def __rmul__(self, number: float) -> MissingScore:
        return self._moved(f"{number:g} * {self.text}")

    def __truediv__(self, number: float) -> MissingScore:
        return self._moved(f"{self.text} / {number:g}")

    def __ge__(self, number: object) -> Verdict:
        return self._compared(">=", number)

    def __gt__(self, number: object) -> Verdict:
        return self._compared(">", number)

    def __le__(self, number: object) -> Verdict:
        return self._compared("<=", number)

    def __lt__(self, number: object) -> Verdict:
        return self._compared("<", number)

    def _compared(self, operator: Operator, number: object) -> Verdict:
        if not isinstance(number, Real) or hasattr(number, "measurement"):
            return cast("Verdict", NotImplemented)  # a Score on the other side knows what to do
        if self._other is None:
            raise MissingBaselineError(self.message)
        return self.judge(f"{self.text} {operator} {float(number):g}", self._other)

    def _moved(self, text: str) -> MissingScore:
        return MissingScore(text, self.message, self._other)
