"""Comparisons of a test: judged under the session's policy, recorded on the item, explained on failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from slmcheck import gates
from slmcheck.errors import SlmcheckError
from slmcheck.evaluation import Run
from slmcheck.evaluation.evidence import keep_verdict
from slmcheck.pytest_plugin.concealing import conceal, mark
from slmcheck.pytest_plugin.exemptions import exemptions_of, expired_quarantine, noted, settle
from slmcheck.pytest_plugin.options import SETTINGS
from slmcheck.pytest_plugin.planning import planned_line
from slmcheck.pytest_plugin.recorder import INCONCLUSIVE, PLAN, RUN, VERDICT
from slmcheck.pytest_plugin.session import workspace_of
from slmcheck.records import VerdictRecord, to_json
from slmcheck.records.disclosure import shown_findings

_PACKAGE = Path(gates.__file__).parents[1]
_VERDICTS = pytest.StashKey[list[VerdictRecord]]()


@contextmanager
def record(item: pytest.Item) -> Iterator[None]:
    """Judge the comparisons made inside under the policy of the session, and keep them on the item."""
    settings = item.config.stash[SETTINGS]
    policy = gates.Policy(
        gate=settings.gate,
        primary=item.get_closest_marker("slm_primary") is not None,
        inconclusive=settings.inconclusive,
        alpha=settings.alpha,
        seed_sds=settings.seed_sds,
        accept_missing=settings.accept_baseline,
        exemptions=exemptions_of(item, _made(item)),
    )
    judged: list[gates.Verdict] = []
    try:
        with gates.judging(policy) as judged:
            yield
        if message := expired_quarantine(item):
            pytest.fail(message, pytrace=False)
    finally:
        _keep(item, [_with_evidence(item, verdict) for verdict in judged])


def _keep(item: pytest.Item, records: list[VerdictRecord]) -> None:
    outcome = getattr(item, "funcargs", {}).get("_slm_outcome")
    kept = [replace(noted(item, found, _made(item)), test=item.nodeid) for found in records]
    item.stash[_VERDICTS] = kept
    for found in kept:
        item.user_properties.append((VERDICT, json.dumps(to_json(found), ensure_ascii=True)))
        item.config.hook.pytest_slmcheck_verdict(verdict=found)
    if any(found.state == "inconclusive" for found in kept):
        item.user_properties.append((INCONCLUSIVE, "true"))
    if outcome is not None and outcome.run is not None:
        mark(item, outcome.run)
        item.user_properties.append((RUN, f"{outcome.recipe_path}#{outcome.run.key}"))
        if line := planned_line(item.config, outcome.recipe_path):
            item.user_properties.append((PLAN, line))


def _with_evidence(item: pytest.Item, verdict: gates.Verdict) -> VerdictRecord:
    """The record of a verdict, with the key of what it was judged from."""
    return replace(verdict.record, evidence=keep_verdict(verdict, workspace_of(item.config).store))


def _made(item: pytest.Item) -> str:
    """When the run of a test was trained; empty where it has none of its own."""
    outcome = getattr(item, "funcargs", {}).get("_slm_outcome")
    return str(outcome.run.record.created) if outcome is not None and outcome.run is not None else ""


def hide_own_frames(caught: pytest.ExceptionInfo[BaseException]) -> None:
    """Shorten the traceback of a deliberate error to the frames of the suite; errors of ours keep theirs."""
    if not _is_deliberate(caught):
        return
    for entry in caught.traceback:
        if Path(str(entry.path)).is_relative_to(_PACKAGE):
            # pytest reads this name from the globals of a frame's module; shortened lists it would build again.
            entry.frame.f_globals.setdefault("__tracebackhide__", _is_deliberate)


def _is_deliberate(caught: pytest.ExceptionInfo[BaseException]) -> bool:
    return isinstance(caught.value, SlmcheckError)


def explain(item: pytest.Item, report: pytest.TestReport, error: BaseException | None) -> None:
    """Add the explanations of a test's failed comparisons to its report; what is exempted does not fail it."""
    recorded: list[VerdictRecord] = item.stash.get(_VERDICTS, [])
    settle(item, report, recorded, error)
    if not report.failed:
        return
    failed = [found for found in item.stash.get(_VERDICTS, []) if not found.holds]
    claimed = "\n".join([*(found.claim for found in failed), report.longreprtext])
    located = located_exports(item, claimed) if isinstance(error, AssertionError) else []
    if located and not failed:
        report.sections.append(("slmcheck", "\n\n".join(located)))
    if failed:
        told = [*(explanation(found) for found in failed), *located]
        if any(found.kind != "finding" for found in failed):
            told += cause_of(item)
        report.sections.append(("slmcheck", "\n\n".join(told)))
    conceal(item, report)


def located_exports(item: pytest.Item, text: str) -> list[str]:
    """Where the exports depart that the text of a failure names; the models are asked."""
    outcome = getattr(item, "funcargs", {}).get("_slm_outcome")
    if outcome is None or outcome.run is None:
        return []
    run: Run = outcome.run
    found = []
    for name, view in run.exports.items():
        if name not in text:
            continue
        try:
            found.append(f"where {name} departs: {view.locate().sentence}")
        except SlmcheckError as error:
            found.append(f"where {name} departs: not known, it could not be located: {error}")
            continue
        source = name.partition(".onnx(")[2].removesuffix(")")
        given = f"--precision {source}" if source == view.precision else f"--onnx {source}"
        found[-1] += f"\n  next: slmcheck parity {run.recipe.name} {given} --locate"
    return found


def cause_of(item: pytest.Item) -> list[str]:
    """The first cause that diagnosis names for the run of a test and its remedy; the run's model may be asked."""
    outcome = getattr(item, "funcargs", {}).get("_slm_outcome")
    if outcome is None or outcome.run is None:
        return []
    run: Run = outcome.run
    try:
        found = run.diagnosis
    except SlmcheckError as error:
        return [f"why: not known, the diagnosis failed: {error}"]
    shown = shown_findings([found.cause], run.disclosure) if found.cause is not None else ()
    if not shown:
        return [f"why: diagnosis found nothing wrong with {run.recipe.name}"]
    cause = shown[0]
    lines = [f"why: {cause.cause} ({cause.severity}): {cause.summary}", f"  remedy: {cause.remedy}"]
    lines += [f"  follows from it: {one.cause}: {one.summary}" for one in cause.consequences[:3]]
    command = f"slmcheck diagnose {run.recipe.name}" + (" --write-recipe fixed.yaml" if cause.recipe_patch else "")
    return ["\n".join([*lines, f"  next: {command}"])]


def explanation(verdict: VerdictRecord) -> str:
    """A verdict in full, with the examples that decided it."""
    lines = [verdict.claim, *(f"  {line}" for line in verdict.lines)]
    for example in verdict.examples:
        lines += [
            "",
            f"  example {example.id}",
            *_field("prompt", example.prompt),
            *_field("reference", example.reference),
        ]
        if example.old_answer is not None:
            lines += _field("old answer", example.old_answer)
        lines += _field("answer" if example.old_answer is None else "new answer", example.answer)
        lines += _field("note", example.note) if example.note else []
    return "\n".join(lines)


def _field(name: str, text: str) -> list[str]:
    """A labelled text, continued lines indented, control characters shown rather than sent to the terminal."""
    shown = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in text.splitlines() or [""]]
    return [f"    {name + ':':<12}{shown[0]}", *(f"    {'':<12}{line}" for line in shown[1:])]


def inline(op: str, left: object, right: object) -> list[str] | None:
    """The lines that pytest shows at the assert; None where no score is compared."""
    verdict = gates.verdict_of(left, op, right)
    return None if verdict is None else list(verdict.inline)
