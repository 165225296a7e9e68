"""Model cards in the form of the Hugging Face hub: results with their intervals, for the machine and for the reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from slmcheck.records import Json, Report, RunReport, ScoreRecord
from slmcheck.reports import units
from slmcheck.reports.decision import decide
from slmcheck.reports.markdown import cell, code, escape, fenced, table
from slmcheck.reports.prepared import prepare
from slmcheck.reports.rows import facts, moment, score_name, score_rows, settings, verdict_rows
from slmcheck.reports.text import one_line, sentence, visible

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_TASKS = {
    "classification": "text-classification",
    "sequence_classification": "text-classification",
    "extraction": "token-classification",
}
"""Tasks as the hub names them; all others are text generation."""
_HUB_METRICS = {"rougeL": "rouge", "rouge1": "rouge", "rouge2": "rouge", "rougeLsum": "rouge", "chrf": "chrf"}


def render_all(report: Report) -> dict[str, str]:
    """The card of each run by file name: `card.md`, or `card-<run>.md` where there are several runs."""
    report = prepare(report)
    if len(report.runs) == 1:
        return {"card.md": render(report, report.runs[0])}
    cards: dict[str, str] = {}
    for run in report.runs:
        stem = re.sub(r"[^A-Za-z0-9_]+", "-", run.name).strip("-") or "run"
        cards[f"card-{stem}.md" if f"card-{stem}.md" not in cards else f"card-{stem}-{len(cards) + 1}.md"] = render(
            report, run
        )
    return cards


def render(report: Report, run: RunReport) -> str:
    """The card of one run: YAML front matter with `model-index`, then text."""
    report = prepare(report)
    verdicts = tuple(verdict for verdict in report.verdicts if verdict.run == run.name)
    parts = [_front_matter(run), f"# {escape(run.name)}", _opening(run)]
    if run.scores:
        parts += ["## Results", _results(run)]
        if run.selected_on_evaluation:
            parts.append("These rows also selected the checkpoint, so the scores are optimistic.")
    if verdicts:
        rows = [
            (f"{row.symbol} {row.word}", cell(row.metric), row.value, row.interval, escape(row.criterion), row.margin)
            for row in verdict_rows(verdicts)
        ]
        header = ("state", "gate", "value", "interval", "criterion", "margin")
        parts += ["## Gates", escape(decide(_only(report, run)).line), table(header, rows, right=(2, 3, 5))]
    parts += ["## Training", table(("fact", ""), [(word, escape(value)) for word, value in facts(run)])]
    if run.hyperparameters:
        rows_of = [(cell(word), cell(value)) for word, value in settings(run)]
        parts.append(table(("recipe field", "value"), rows_of))
    if run.rendered_row:
        parts += [
            "One training row as the model sees it, what it learns between `[[` and `]]`:",
            fenced(run.rendered_row),
        ]
    limits = [sentence(f"{finding.cause}: {finding.summary}") for finding in run.findings] + list(run.notes)
    limits += _gap_limits(run)
    if limits:
        parts += ["## Limits", "\n".join(f"* {escape(limit)}" for limit in limits)]
    parts.append(f"Measured by slmcheck {escape(report.slmcheck_version)}, {escape(moment(report.created))}.")
    return "\n\n".join(parts) + "\n"


def front_matter(run: RunReport) -> Mapping[str, Json]:
    """What the hub reads of a card."""
    base, _, revision = run.base_model.partition("@")
    fields: dict[str, Json] = {}
    if _HUB_ID.fullmatch(base) and not base.startswith("slmcheck/"):
        fields["base_model"] = base
        fields |= {"base_model_revision": revision} if revision else {}
    fields["pipeline_tag"] = _hub_task(run)
    fields["tags"] = ["slmcheck", visible(run.trainer)]
    groups: dict[tuple[str, str | None], list[ScoreRecord]] = {}
    for score in run.scores:
        groups.setdefault((score.split, score.slice), []).append(score)
    fields["model-index"] = [
        {
            "name": visible(run.name).replace("/", "-"),
            "results": [_result(run, split, slice_name, scores) for (split, slice_name), scores in groups.items()],
        }
    ]
    return fields


def _front_matter(run: RunReport) -> str:
    import yaml

    text: str = yaml.safe_dump(front_matter(run), sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{text}---"


def _result(run: RunReport, split: str, slice_name: str | None, scores: list[ScoreRecord]) -> Json:
    suite = visible(run.name.partition("/")[0])
    title = f"{suite}, {visible(split)}" + (f", slice {visible(slice_name)}" if slice_name else "")
    dataset: dict[str, Json] = {"type": suite, "name": title, "split": visible(split)}
    dataset |= {"config": visible(slice_name)} if slice_name else {}
    return {
        "task": {"type": _hub_task(run), "name": visible(run.task)},
        "dataset": dataset,
        "metrics": [
            {
                "type": _HUB_METRICS.get(score.metric, visible(score.metric)),
                "value": score.value,
                "name": _metric_name(score),
                "verified": False,
            }
            for score in scores
        ],
    }


def _metric_name(score: ScoreRecord) -> str:
    name = one_line(score.metric)
    if score.low is not None and score.high is not None:
        name += f" (95 % interval {units.value(score.low, score.unit)} to {units.value(score.high, score.unit)}"
        return f"{name}, n={score.n:,})"
    return f"{name} (n={score.n:,})"


def _hub_task(run: RunReport) -> str:
    return _HUB_TASKS.get(run.task, "text-generation")


def _opening(run: RunReport) -> str:
    rows = dict(run.data)
    text = f"{code(run.base_model)}, fine-tuned by trainer {code(run.trainer)} for {escape(run.task)}"
    if rows.get("train"):
        text += f" on {rows['train']:,} rows"
    return f"{text}. Run key {code(run.key[:12])}."


def _results(run: RunReport) -> str:
    rows = []
    for row in score_rows(run):
        ends = units.interval(row.score.low, row.score.high, row.score.unit)
        base = units.value(row.base.value, row.base.unit) if row.base is not None else ""
        beside = ", ".join(f"{escape(name)} {units.value(score.value, score.unit)}" for name, score in row.trivial)
        value = units.value(row.score.value, row.score.unit)
        rows.append((cell(score_name(row.score)), value, ends, base, beside, f"{row.score.n:,}"))
    header = ("metric", "score", "95 % interval", "base model", "trivial answers", "examples")
    return table(header, rows, right=(1, 2, 3, 5))


def _only(report: Report, run: RunReport) -> Report:
    """The report as if the session had judged this run alone."""
    verdicts = tuple(verdict for verdict in report.verdicts if verdict.run == run.name)
    tests = {verdict.test for verdict in verdicts}
    outcomes = tuple(outcome for outcome in report.outcomes if outcome.test in tests)
    return replace(report, verdicts=verdicts, outcomes=outcomes, runs=(run,), tests={})


def _gap_limits(run: RunReport) -> list[str]:
    return [
        f"{one_line(gap.metric)} is {units.value(gap.train, gap.unit)} on training rows and"
        f" {units.value(gap.evaluation, gap.unit)} on evaluation rows."
        for gap in run.gaps
    ]
