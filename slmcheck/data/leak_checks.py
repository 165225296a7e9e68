"""Findings about evaluation rows that training rows give away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slmcheck.data.leaks import Leak, find_leaks, input_text
from slmcheck.data.splits import Splits
from slmcheck.records import Example, Finding, Split

PROBLEM_SHARE = 0.05
NOTE_SHARE = 0.01
SHOWN = 5


def leak_findings(splits: Splits, split: Split) -> Iterator[Finding]:
    """Rows of a split with the input of a training row, and rows that are nearly one."""
    rows = splits.of(split)
    leaks = find_leaks(splits.train, rows)
    exact = [leak for leak in leaks if leak.is_exact]
    near = [leak for leak in leaks if not leak.is_exact]
    if exact and len(exact) >= NOTE_SHARE * len(rows):
        share = len(exact) / len(rows)
        yield Finding(
            cause="leaked-rows",
            severity="problem" if share >= PROBLEM_SHARE else "note",
            summary=f"{len(exact)} of {len(rows)} {split} rows ({share:.1%}) have the input of a training row.",
            evidence=tuple(_pair(leak) for leak in exact[:SHOWN]),
            remedy=f"Remove these rows from the training data; scores of {split} are too high with them.",
            next_experiment="slmcheck data check RECIPE --json lists all of them",
            examples=tuple(leak.row.id for leak in exact),
        )
    if near and len(near) >= NOTE_SHARE * len(rows):
        share = len(near) / len(rows)
        yield Finding(
            cause="near-duplicate-rows",
            severity="warning" if share >= PROBLEM_SHARE else "note",
            summary=f"{len(near)} of {len(rows)} {split} rows ({share:.1%}) are nearly a training row.",
            evidence=tuple(_pair(leak) for leak in _worst(near)),
            remedy="Remove them from the training data, or name what they share in data.group.",
            next_experiment="slmcheck data check RECIPE --json lists all of them",
            examples=tuple(leak.row.id for leak in near),
        )


def _worst(leaks: Sequence[Leak]) -> list[Leak]:
    return sorted(leaks, key=lambda leak: -leak.similarity)[:SHOWN]


def _pair(leak: Leak) -> str:
    if leak.is_exact and leak.known is not None:
        return f"{leak.row.source} = {leak.known.source}: {shown(leak.row)}"
    if leak.known is not None:
        return f"{leak.row.source} ~ {leak.known.source} ({leak.similarity:.2f}): {shown(leak.row)}"
    return f"{leak.row.source}: {leak.similarity:.0%} of its n-grams stand in training rows: {shown(leak.row)}"


def shown(example: Example, width: int = 70) -> str:
    """The input of a row in one short line, quoted."""
    return quoted(input_text(example) or example.answer, width)


def quoted(text: str, width: int = 70) -> str:
    """A text of the data in one short line, in quotation marks that it does not hold, so that it can be left out."""
    line = " ".join(text.split()).replace("“", '"').replace("”", '"')
    return f"“{line if len(line) <= width else line[: width - 3] + '...'}”"
