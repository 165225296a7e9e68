"""What a person who is no statistician should see of a report first: examples that flipped, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from slmcheck.records import ExampleEvidence, Finding, Report, RunReport
from slmcheck.reports import units
from slmcheck.reports.decision import blocking, metric_name
from slmcheck.reports.text import counted, listed, one_line, sentence

Flip = Literal["worse", "changed", "wrong", "differs", "better", "right"]
_NOTICED: tuple[Flip, ...] = ("worse", "changed", "better", "wrong", "differs")
"""What a user would notice, the most important first; an answer that stayed wrong is no news."""


def notable_examples(report: Report, count: int) -> tuple[ExampleEvidence, ...]:
    """Up to `count` examples that users would notice: answers that got worse, changed or got better, then wrong ones.

    Examples of claims that are not met come first, then those of the runs. No example is given twice.
    """
    candidates = [example for verdict in blocking(report) for example in verdict.examples]
    candidates += [example for verdict in report.verdicts if verdict.state != "pass" for example in verdict.examples]
    candidates += [example for run in report.runs for example in run.examples]
    noticed = [example for example in _once(candidates) if flip(example) in _NOTICED]
    return tuple(sorted(noticed, key=lambda example: _NOTICED.index(flip(example))))[:count]


def flip(example: ExampleEvidence) -> Flip:
    """How an example fared; what is neither right nor wrong, a generated text, has `changed`, `differs` or `right`."""
    if example.correct is not None and example.old_correct is not None and example.correct != example.old_correct:
        return "better" if example.correct else "worse"
    if example.correct is not None:
        return "right" if example.correct else "wrong"
    if example.old_answer is not None and example.old_answer != example.answer:
        return "changed"
    return "right" if example.answer.strip() == example.reference.strip() else "differs"


def effects(report: Report) -> tuple[str, ...]:
    """What users would notice in numbers, without statistics: answers that flipped, and what mistakes cost."""
    return (*(found for run in report.runs if (found := _flipped(run))), *_costs(report))


def decided(report: Report) -> tuple[str, ...]:
    """The gates that are not met and do not block because somebody decided so, a sentence each, waived ones first."""
    found = [verdict for verdict in report.verdicts if verdict.exemption is not None]
    ordered = sorted(found, key=lambda verdict: (verdict.shown != "waived", not verdict.primary))
    return tuple(
        sentence(f"{metric_name(verdict)} of {one_line(verdict.run)}: {verdict.exemption.sentence}")
        for verdict in ordered
        if verdict.exemption is not None
    )


def worth(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings that a short report names: notes are for those who look further."""
    return tuple(finding for finding in findings if finding.severity != "note")


def changes_of(run: RunReport) -> tuple[str, ...]:
    """What differs from the accepted baseline, a sentence each."""
    return tuple(sentence(change) for change in run.changes)


def _once(examples: Iterable[ExampleEvidence]) -> list[ExampleEvidence]:
    found: dict[str, ExampleEvidence] = {}
    for example in examples:
        found.setdefault(example.id, example)
    return list(found.values())


def _flipped(run: RunReport) -> str:
    """How many answers differ from the baseline's; empty where no earlier answer is known."""
    known = [item for item in run.examples if item.old_answer is not None or item.old_correct is not None]
    if not known:
        return ""
    kinds = [flip(item) for item in known]
    worse, better = kinds.count("worse"), kinds.count("better")
    others = sum(
        item.old_answer is not None and item.old_answer != item.answer and kind not in ("worse", "better")
        for item, kind in zip(known, kinds, strict=True)
    )
    parts = [f"{worse:,} got worse" if worse else "", f"{better:,} got better" if better else ""]
    parts += [f"{others:,} changed otherwise" if worse or better else f"{others:,} changed"] if others else []
    parts = [part for part in parts if part]
    start = f"Of {counted(len(known), 'answer')} of {one_line(run.name)}"
    return f"{start}, {listed(parts)} since the baseline." if parts else f"{start}, none changed since the baseline."


def _costs(report: Report) -> tuple[str, ...]:
    """What mistakes cost now and before, a sentence for each gate of a metric that is made from a cost matrix."""
    priced = {
        (run.name, score.metric) for run in report.runs for score in run.scores if score.signature.startswith("cost|")
    }
    found = []
    for verdict in report.verdicts:
        if (verdict.run, verdict.metric) not in priced and not verdict.metric.startswith("cost"):
            continue
        now = units.value(verdict.value, verdict.unit)
        text = f"Mistakes of {one_line(verdict.run)} cost {now} an example ({metric_name(verdict)})"
        if verdict.target is not None and verdict.target_name:
            more = verdict.value - verdict.target
            text += f", {units.value(verdict.target, verdict.unit)} before"
            text += f": {abs(more) * 1000:,.0f} {'more' if more > 0 else 'less'} for 1,000 examples" if more else ""
        found.append(f"{text}.")
    return tuple(dict.fromkeys(found))
