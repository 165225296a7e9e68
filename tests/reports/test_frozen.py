"""A report of every version is opened and rendered by this one; one of a newer version is one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slmcheck import reports
from slmcheck.errors import InputError
from slmcheck.records import REPORT_VERSION

FROZEN = Path(__file__).parent / "frozen"


def test_every_version_has_a_frozen_sample() -> None:
    folders = {path.name for path in FROZEN.iterdir() if path.is_dir()}
    assert folders == {f"v{number}" for number in range(1, REPORT_VERSION + 1)}


def test_a_report_of_version_1_is_opened() -> None:
    report = reports.read_report(FROZEN / "v1")
    [verdict], [run] = report.verdicts, report.runs
    assert (verdict.claim, verdict.state, verdict.holds) == ("lora.accuracy >= baseline.accuracy - 0.01", "fail", False)
    assert (verdict.value, verdict.target, verdict.change, verdict.n) == (0.846, 0.898, -0.052, 480)
    assert verdict.examples[0].old_answer == "spam"
    assert (run.name, run.environment.device, run.history[0].validation_loss) == ("spam/lora", "cuda", 0.75)
    assert (run.scores[0].value, run.scores[0].low, run.scores[0].high) == (0.846, 0.811, 0.876)


def test_a_report_of_version_1_is_rendered() -> None:
    text = reports.render_terminal(reports.read_report(FROZEN / "v1"), 120, False)
    assert "0.846" in text
    assert "spam/lora" in text


def test_a_report_of_a_newer_version_is_one_clear_error(tmp_path: Path) -> None:
    document = json.loads((FROZEN / "v1" / "report.json").read_bytes())
    newer = {**document, "version": REPORT_VERSION + 1, "colour": "of later"}
    (tmp_path / "report.json").write_text(json.dumps(newer))
    with pytest.raises(InputError, match=f"has report version {REPORT_VERSION + 1}, newer than .*\n.*\nUpgrade"):
        reports.read_report(tmp_path)
