"""Scores, changes and examples as lines of a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.cli.output import indented, table
from slmcheck.evaluation.comparing import ChangedScore, Compared, Flips
from slmcheck.gates import Score, Units
from slmcheck.records import ExampleEvidence, Json, to_json
from slmcheck.reports.text import visible

_WORDS = {"fail": "REGRESSION", "inconclusive": "cannot tell", "accepted": "accepted"}


def score_row(score: Score) -> tuple[str, str, str, str, str]:
    """Metric, value, interval, examples, and whose score it is."""
    units, interval = Units(score.metric), score.interval
    shown = units.values(float(score), *(interval or ()))
    bounds = f"{shown[1]} .. {shown[2]}" if interval else "none"
    return score.metric.name, shown[0], bounds, f"{score.n:,}", f"{score.source.name}, {score.source.split}"


def score_document(score: Score) -> Json:
    """A score with what makes it comparable."""
    interval = score.interval
    return {
        "metric": score.metric.name,
        "value": float(score),
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "n": score.n,
        "unit": score.metric.unit,
        "higher_is_better": score.metric.higher_is_better,
        "signature": score.metric.signature,
        "split": score.source.split,
        "notes": list(score.source.notes),
    }


def changes_text(compared: Compared, *, full: bool) -> str:
    """Flipped examples first, then a table of the changed scores."""
    rows = [_change_row(changed) for changed in compared.scores]
    header = ("metric", compared.old, compared.new, "change", "90 % interval", "n", "verdict")
    parts = []
    if compared.flips is not None:
        parts.append(flips_text(compared.flips))
    parts.append(table(rows, header=header))
    if full:
        parts += [str(changed.verdict) for changed in compared.scores]
    notes = dict.fromkeys(note for changed in compared.scores for note in changed.verdict.record.notes)
    parts.append("\n".join([*notes, *(f"left out: {text}" for text in compared.left_out)]))
    return "\n\n".join(part for part in parts if part)


def _change_row(changed: ChangedScore) -> tuple[str, ...]:
    units, record = Units(changed.new.metric), changed.verdict.record
    old, new = units.values(changed.comparison.old_value, changed.comparison.new_value)
    estimate, sign = changed.comparison.estimate, changed.new.metric.sign
    low, high = sorted((sign * float(estimate.low), sign * float(estimate.high)))
    change, least, most = units.changes(sign * float(estimate.change), low, high)
    word = _WORDS.get(record.state) or ("no worse, proven" if record.proven else "no worse")
    design = f"{record.n:,}{'' if record.paired else ' unpaired'}"
    return changed.metric, old, new, change + units.unit, f"{least} .. {most}", design, word


def flips_text(flips: Flips) -> str:
    """How many examples changed, their ids, and some in full."""
    first = f"{_examples(len(flips.worse))} got worse, {len(flips.better):,} better ({flips.metric})."
    lines = [first]
    lines += [f"  {word}: {_ids(ids)}" for word, ids in (("worse", flips.worse), ("better", flips.better)) if ids]
    return "\n".join([*lines, *(example_text(example) for example in flips.shown)])


def _examples(count: int) -> str:
    return "1 example" if count == 1 else f"{count:,} examples"


def _ids(ids: Sequence[str], shown: int = 12) -> str:
    return ", ".join(ids[:shown]) + (f" and {len(ids) - shown} more" if len(ids) > shown else "")


def example_text(example: ExampleEvidence) -> str:
    """One example in full: prompt, reference, old and new answer."""
    named = [("prompt", example.prompt), ("reference", example.reference), ("before", example.old_answer or "")]
    named = [(name, visible(text)) for name, text in (*named, ("now", example.answer))]
    head = f"\n{example.note or 'example'} {example.id}"
    return "\n".join([head, *(_labelled(name, text) for name, text in named if text)])


def _labelled(name: str, text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"  {name:<10} {first}" + (f"\n{indented(rest, ' ' * 13)}" if rest else "")


def changed_document(changed: ChangedScore) -> Json:
    """One metric of both sides, with its verdict."""
    record = changed.verdict.record
    return {
        "metric": changed.metric,
        "old": changed.comparison.old_value,
        "new": changed.comparison.new_value,
        "change": record.change,
        "change_low": record.change_low,
        "change_high": record.change_high,
        "n": record.n,
        "paired": record.paired,
        "holds": record.holds,
        "state": record.state,
        "verdict": to_json(record),
    }


def flips_document(flips: Flips | None) -> Json:
    """The flipped examples; null where examples cannot be paired."""
    if flips is None:
        return None
    return {
        "metric": flips.metric,
        "worse": list(flips.worse),
        "better": list(flips.better),
        "shown": [to_json(example) for example in flips.shown],
    }
