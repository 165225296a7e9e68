"""What a person who is no statistician should see of a report first: examples that flipped, and what changed."""

from __future__ import annotations

from collections.abc import Iterable

from slmcheck.records import ExampleEvidence, Report, RunReport
from slmcheck.reports import units
from slmcheck.reports.decision import blocking, metric_name
from slmcheck.reports.text import one_line, sentence


def notable_examples(report: Report, count: int) -> tuple[ExampleEvidence, ...]:
    """Up to `count` examples that users would notice: answers that got worse, then other wrong ones.

    Examples of claims that are not met come first, then those of the runs. No example is given twice.
    """
    candidates = [example for verdict in blocking(report) for example in verdict.examples]
    candidates += [example for verdict in report.verdicts if verdict.state != "pass" for example in verdict.examples]
    candidates += [example for run in report.runs for example in run.examples]
    wrong = [example for example in _once(candidates) if flip(example) in ("worse", "changed", "wrong")]
    return tuple(sorted(wrong, key=lambda example: flip(example) == "wrong"))[:count]


def flip(example: ExampleEvidence) -> str:
    """How an example fared: `worse`, `better`, `changed`, `wrong`, `right`, or nothing where none of it is known."""
    if example.correct is not None and example.old_correct is not None and example.correct != example.old_correct:
        return "better" if example.correct else "worse"
    if example.correct is not None:
        return "right" if example.correct else "wrong"
    if example.old_answer is not None and example.old_answer != example.answer:
        return "changed"
    return "" if example.answer.strip() == example.reference.strip() else "wrong"


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
    return list({example.id: example for example in reversed(list(examples))}.values())[::-1]
