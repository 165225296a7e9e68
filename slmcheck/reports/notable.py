"""What a person who is no statistician should see of a report first: examples that flipped, and what changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from slmcheck.records import ExampleEvidence, Report, RunReport
from slmcheck.reports import units
from slmcheck.reports.decision import blocking, metric_name
from slmcheck.reports.text import one_line, sentence

Flip = Literal["worse", "changed", "wrong", "differs", "better", "right"]
_BAD: tuple[Flip, ...] = ("worse", "changed", "wrong", "differs")


def notable_examples(report: Report, count: int) -> tuple[ExampleEvidence, ...]:
    """Up to `count` examples that users would notice: answers that got worse, then other wrong ones.

    Examples of claims that are not met come first, then those of the runs. No example is given twice.
    """
    candidates = [example for verdict in blocking(report) for example in verdict.examples]
    candidates += [example for verdict in report.verdicts if verdict.state != "pass" for example in verdict.examples]
    candidates += [example for run in report.runs for example in run.examples]
    bad = [example for example in _once(candidates) if flip(example) in _BAD]
    return tuple(sorted(bad, key=lambda example: _BAD.index(flip(example))))[:count]


def flip(example: ExampleEvidence) -> Flip:
    """How an example fared; what is neither right nor wrong, a generated text, has `changed`, `differs` or `right`."""
    if example.correct is not None and example.old_correct is not None and example.correct != example.old_correct:
        return "better" if example.correct else "worse"
    if example.correct is not None:
        return "right" if example.correct else "wrong"
    if example.old_answer is not None and example.old_answer != example.answer:
        return "changed"
    return "right" if example.answer.strip() == example.reference.strip() else "differs"


def costs(report: Report) -> tuple[str, ...]:
    """What the answers cost now and before, a sentence for each comparison of a metric made from a cost matrix."""
    return tuple(
        f"{metric_name(verdict)} of {one_line(verdict.run)} goes from {units.value(verdict.target, verdict.unit)}"
        f" to {units.value(verdict.value, verdict.unit)} an example."
        for verdict in report.verdicts
        if verdict.metric.startswith("cost") and verdict.target is not None and verdict.target_name
    )


def changes_of(run: RunReport) -> tuple[str, ...]:
    """What differs from the accepted baseline, a sentence each."""
    return tuple(sentence(change) for change in run.changes)


def _once(examples: Iterable[ExampleEvidence]) -> list[ExampleEvidence]:
    found: dict[str, ExampleEvidence] = {}
    for example in examples:
        found.setdefault(example.id, example)
    return list(found.values())
