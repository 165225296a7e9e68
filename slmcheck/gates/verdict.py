"""The outcome of one claim: true or false under the policy, with its record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from slmcheck.gates.claims import ChangeClaim, LevelClaim
from slmcheck.gates.policy import Policy
from slmcheck.records import Exemption, VerdictRecord, VerdictState

INLINE_LINES = 7
INLINE_CHARACTERS = 639


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """What a verdict was judged from: judging it again gives the same verdict."""

    claim: LevelClaim | ChangeClaim
    policy: Policy


class Verdict:
    """What a comparison of scores returns; true where the claim holds under the session's policy, or is exempted."""

    def __init__(self, record: VerdictRecord, *, basis: Basis | None = None) -> None:
        self.record = record
        self.basis = basis
        """None where no score was judged: findings, and baselines that are missing."""

    def __bool__(self) -> bool:
        return self.record.holds or self.record.exemption is not None

    def __repr__(self) -> str:
        return f"<{self.record.claim}: {self.record.lines[0] if self.record.lines else self.record.state}>"

    def __str__(self) -> str:
        return "\n".join((self.record.claim, *self.record.lines))

    @property
    def state(self) -> VerdictState:
        """Pass, fail, inconclusive, or accepted where there was no baseline yet."""
        return self.record.state

    @property
    def proven(self) -> bool:
        """Whether the examples prove the state, beyond the point estimate."""
        return self.record.proven

    @property
    def lines(self) -> tuple[str, ...]:
        """The explanation; the first line is the whole truth."""
        return self.record.lines

    @cached_property
    def inline(self) -> tuple[str, ...]:
        """The claim and its explanation in at most 7 lines and under 640 characters, which pytest does not cut."""
        return inline_form(self.record)

    def exempted_by(self, exemption: Exemption) -> Verdict:
        """The same verdict, which blocks nothing any more: true, but never recorded as holding."""
        line = exemption.sentence.replace(exemption.kind, exemption.kind.upper(), 1)
        return Verdict(replace(self.record, exemption=exemption, lines=(line, *self.record.lines)), basis=self.basis)

    def of_test(self, test: str, *, primary: bool) -> Verdict:
        """The same verdict with the test that asked for it."""
        return Verdict(replace(self.record, test=test, primary=primary), basis=self.basis)


def inline_form(record: VerdictRecord) -> tuple[str, ...]:
    """The form of a record that fits into pytest's assertion message.

    What stays, while there is room, in this order: the first line, the second one, the command to run next, the claim
    (pytest shows the source line as well), then the other lines. A single overlong line is cut with an ellipsis.
    """
    lines = (record.claim, *record.lines)
    last = len(lines) - 1
    wanted = [index for index in (1, 2, last, 0, *range(3, last)) if index <= last]
    kept: list[int] = []
    for index in dict.fromkeys(wanted):
        if len(kept) < INLINE_LINES and _length([lines[i] for i in (*kept, index)]) <= INLINE_CHARACTERS:
            kept.append(index)
    if not kept:
        return (_cut(lines[wanted[0]], INLINE_CHARACTERS),)
    return tuple(lines[index] for index in sorted(kept))


def _length(lines: list[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _cut(line: str, room: int) -> str:
    return line if len(line) <= room else line[: room - 1] + "…"
