"""The self-check of a device as a row of a gate: what `slmcheck parity RUN --from FILE` shows."""

from __future__ import annotations

from pathlib import Path

from slmcheck.cli.output import Result, table
from slmcheck.cli.scores import score_document, score_row
from slmcheck.evaluation.deploying import SelfCheck, read_selfcheck
from slmcheck.evaluation.run import Run
from slmcheck.records import to_json


def selfcheck_result(run: Run, file: str) -> Result:
    """The agreement on the device with its verdict; status 1 where it or a check of the device does not hold."""
    found = read_selfcheck(run, Path(file))
    verdict = None if found.limit is None else found.agreement.at_least(found.limit)
    holds = found.passed and (verdict is None or bool(verdict))
    return Result(
        text=_text(found, str(verdict or "")),
        document={
            "run": run.recipe.name,
            "precision": found.precision,
            "device": found.place,
            "passed": found.passed,
            "checks": [{"check": check, "found": what, "holds": good} for check, what, good in found.checks],
            "scores": [score_document(found.agreement)],
            "verdict": None if verdict is None else to_json(verdict.record),
        },
        status=0 if holds else 1,
    )


def _text(found: SelfCheck, verdict: str) -> str:
    rows = [("ok" if holds else "NOT", check, what) for check, what, holds in found.checks]
    score = table([score_row(found.agreement)], header=("score", "value", "95 % interval", "n", "of"))
    parts = [f"checked on: {found.place}", table(rows), score, verdict]
    return "\n\n".join(part for part in parts if part)
