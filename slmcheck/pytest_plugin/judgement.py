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
from slmcheck.pytest_plugin.options import SETTINGS
from slmcheck.pytest_plugin.planning import planned_line
from slmcheck.pytest_plugin.recorder import INCONCLUSIVE, PLAN, RUN, VERDICT
from slmcheck.records import VerdictRecord, to_json

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
    )
    judged: list[gates.Verdict] = []
    try:
        with gates.judging(policy) as judged:
            yield
    finally:
        _keep(item, [verdict.record for verdict in judged])


def _keep(item: pytest.Item, records: list[VerdictRecord]) -> None:
    kept = [replace(found, test=item.nodeid) for found in records]
    item.stash[_VERDICTS] = kept
    for found in kept:
        item.user_properties.append((VERDICT, json.dumps(to_json(found), ensure_ascii=True)))
        item.config.hook.pytest_slmcheck_verdict(verdict=found)
    if any(found.state == "inconclusive" for found in kept):
        item.user_properties.append((INCONCLUSIVE, "true"))
    outcome = getattr(item, "funcargs", {}).get("_slm_outcome")
    if outcome is not None and outcome.run is not None:
        item.user_properties.append((RUN, f"{outcome.recipe_path}#{outcome.run.key}"))
        if line := planned_line(item.config, outcome.recipe_path):
            item.user_properties.append((PLAN, line))


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


def explain(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add the explanations of a test's failed comparisons to its report."""
    if not report.failed:
        return
    failed = [found for found in item.stash.get(_VERDICTS, []) if not found.holds]
    if failed:
        report.sections.append(("slmcheck", "\n\n".join(explanation(found) for found in failed)))


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
