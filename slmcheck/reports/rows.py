"""Verdicts as rows of a table, in words that the terminal, Markdown and HTML share."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.records import Report, RunReport, ScoreRecord, ShownState, VerdictRecord, to_json
from slmcheck.reports import units
from slmcheck.reports.text import one_line

SYMBOLS: dict[ShownState, str] = {
    "pass": "✓",
    "fail": "✗",
    "inconclusive": "~",
    "accepted": "+",
    "waived": "!",
    "quarantined": "?",
}
STATES: tuple[ShownState, ...] = ("fail", "waived", "quarantined", "inconclusive", "accepted", "pass")
"""In the order in which a reader needs them."""
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """One verdict, every cell formatted."""

    verdict: VerdictRecord
    symbol: str
    word: str
    """`pass`, `weak pass`, `fail`, `weak fail`, `inconclusive`, `accepted`, `WAIVED`, `QUARANTINED`."""
    metric: str
    """With its slice: `accuracy, short`."""
    value: str
    interval: str
    """Of the value for a level, of the change for a comparison."""
    criterion: str
    """`≥ 0.850`, `≥ 0.898 release-1.4`."""
    margin: str
    change: str
    primary: bool


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One metric on one split or slice: the run, its base model and the trivial answers side by side."""

    score: ScoreRecord
    base: ScoreRecord | None
    trivial: tuple[tuple[str, ScoreRecord], ...]
    """Name of the trivial answer and its score."""


def verdict_rows(verdicts: Sequence[VerdictRecord]) -> tuple[VerdictRow, ...]:
    """Rows in the order in which a reader needs them: what fails first, primary gates before others."""
    ordered = sorted(verdicts, key=lambda verdict: (STATES.index(verdict.shown), not verdict.primary, verdict.proven))
    return tuple(verdict_row(verdict) for verdict in ordered)


def verdict_row(verdict: VerdictRecord) -> VerdictRow:
    """One verdict with its cells formatted."""
    is_change = verdict.change is not None
    weak = verdict.state in ("pass", "fail") and not verdict.proven and verdict.kind not in ("exact", "finding")
    word = f"weak {verdict.state}" if weak else verdict.state
    return VerdictRow(
        verdict=verdict,
        symbol=SYMBOLS[verdict.shown],
        word=word if verdict.exemption is None else verdict.shown.upper(),
        metric=one_line(verdict.metric) + (f", {one_line(verdict.slice)}" if verdict.slice else ""),
        value=units.value(verdict.value, verdict.unit),
        interval=units.change_interval(verdict.change_low, verdict.change_high, verdict.unit)
        if is_change
        else units.interval(verdict.low, verdict.high, verdict.unit),
        criterion=_criterion(verdict),
        margin=_margin(verdict),
        change=units.change(verdict.change, verdict.unit) if verdict.change is not None else units.ABSENT,
        primary=verdict.primary,
    )


def explanation(verdict: VerdictRecord) -> tuple[str, ...]:
    """The lines of a verdict, and those of its notes that are not among them."""
    return tuple(dict.fromkeys(verdict.lines + verdict.notes))


def moment(text: str) -> str:
    """A time of ISO 8601 in UTC as a reader wants it: `2026-03-02 09:24 UTC`; other text as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:[\d.]+)?(Z|\+00:00)", text)
    return f"{found[1]} {found[2]} UTC" if found else one_line(text)


def by_run(report: Report) -> tuple[tuple[str, tuple[VerdictRecord, ...]], ...]:
    """Run names with their verdicts: the runs of the report first, then names that only verdicts know."""
    names = dict.fromkeys([run.name for run in report.runs] + [verdict.run for verdict in report.verdicts])
    return tuple((name, tuple(verdict for verdict in report.verdicts if verdict.run == name)) for name in names)


def suite_of(run_name: str) -> str:
    """The suite folder of a run name; the name itself where it has no folder."""
    return run_name.rpartition("/")[0] or run_name


def score_rows(run: RunReport) -> tuple[ScoreRow, ...]:
    """The scores of a run with those of its base model and of trivial answers on the same examples."""
    base = {(score.metric, score.split, score.slice): score for score in run.base_scores}
    rows = []
    for score in run.scores:
        trivial = [
            (name.rstrip(")"), other)
            for other in run.trivial_scores
            for metric, _, name in (other.metric.partition(" ("),)
            if (metric, other.split, other.slice) == (score.metric, score.split, score.slice)
        ]
        rows.append(
            ScoreRow(score=score, base=base.get((score.metric, score.split, score.slice)), trivial=tuple(trivial))
        )
    return tuple(rows)


def score_name(score: ScoreRecord) -> str:
    """The metric of a score with its slice: `accuracy, short`."""
    return one_line(score.metric) + (f", {one_line(score.slice)}" if score.slice else "")


def facts(run: RunReport) -> tuple[tuple[str, str], ...]:
    """What a reader wants to know of a run before its numbers, as pairs of word and value."""
    resources = run.resources
    splits = sorted(run.data.items(), key=lambda item: _SPLITS.index(item[0]) if item[0] in _SPLITS else len(_SPLITS))
    rows = ", ".join(f"{count:,} {one_line(split)}" for split, count in splits)
    steps = [f"{run.last_step:,} steps" if run.last_step is not None else ""]
    steps += [f"best at {run.best_step:,}" if run.best_step is not None else ""]
    steps += ["stopped early"] if run.stopped_early else []
    trained = ""
    if resources.trained_parameters is not None:
        trained = f"{resources.trained_parameters:,}"
        if resources.total_parameters:
            share = 100 * resources.trained_parameters / resources.total_parameters
            trained += f" of {resources.total_parameters:,} ({share:.1f} %)"
    speed = f"{resources.tokens_per_second:,.0f} tokens/s" if resources.tokens_per_second else ""
    memory = [
        f"{units.size(amount)} {where}".strip()
        for amount, where in ((resources.peak_memory_bytes, ""), (resources.peak_gpu_memory_bytes, "on the GPU"))
        if amount
    ]
    cores = resources.cpu_seconds / resources.seconds if resources.cpu_seconds and resources.seconds else None
    busy = f"{cores:.1f} cores busy" if cores is not None else ""
    time = ", ".join(
        part for part in (units.duration(resources.seconds) if resources.seconds else "", speed, busy) if part
    )
    found = (
        ("base model", one_line(run.base_model)),
        ("trainer", one_line(run.trainer)),
        ("task", one_line(run.task)),
        ("rows", rows),
        ("steps", ", ".join(step for step in steps if step)),
        ("trained parameters", trained),
        ("time", time),
        ("peak memory", ", ".join(memory)),
        ("seeds", str(run.seeds) if run.seeds > 1 else ""),
        ("trained on", one_line(str(run.environment)) + (" (not this machine)" if run.made_elsewhere else "")),
        ("trained at", moment(run.created)),
        ("engine", one_line(run.engine)),
        ("run key", one_line(run.key)[:12]),
    )
    return tuple((word, value) for word, value in found if value)


def settings(run: RunReport) -> tuple[tuple[str, str], ...]:
    """Recipe fields with their values as a recipe writes them."""
    return tuple(
        (one_line(name), one_line(value if isinstance(value, str) else json.dumps(to_json(value), ensure_ascii=False)))
        for name, value in sorted(run.hyperparameters.items())
    )


def _criterion(verdict: VerdictRecord) -> str:
    if verdict.kind == "finding":
        return "no problem"
    if verdict.target is None:
        return units.ABSENT
    sign = ("≥" if verdict.higher_is_better else "≤") if verdict.kind in ("level", "no_worse", "exact") else ""
    sign = sign or ("=" if verdict.kind == "equivalent" else (">" if verdict.higher_is_better else "<"))
    target = units.value(verdict.target, verdict.unit)
    if verdict.kind == "exact" and verdict.target_name:
        sign = "against"  # what is required of it, a factor perhaps, is in the explanation only
    return f"{sign} {target}" + (f" {one_line(verdict.target_name, 40)}" if verdict.target_name else "")


def _margin(verdict: VerdictRecord) -> str:
    if verdict.margin is None or verdict.kind in ("level", "finding"):
        return units.ABSENT
    text = units.distance(verdict.margin, verdict.unit)
    return {"better_by": f"+ {text}", "equivalent": f"± {text}"}.get(verdict.kind, text)
