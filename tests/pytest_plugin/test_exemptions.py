"""Waivers and quarantines in a session: what is not met is shown and does not block, for a while and for one run."""

from __future__ import annotations

import datetime
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from slmcheck import reports
from slmcheck.reports import card, html, markdown, render_terminal
from slmcheck.storage.waivers import Waiver, write_waiver
from tests.pytest_plugin.test_saved_predictions import RECIPE, ROWS

NOW = datetime.datetime.now(datetime.UTC)
LATER, EARLIER = (NOW + datetime.timedelta(days=9)).date().isoformat(), "2020-01-01"
TESTS = "def test_level(run):\n    assert run.accuracy >= 0.95\n    assert run.accuracy >= {second}\n"


@dataclass(frozen=True)
class Ended:
    """How a session ended."""

    status: int
    text: str
    """What it printed, white space collapsed."""
    counts: str
    """Its last line: `1 failed, 2 passed`."""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose run answers 18 of 20 rows right; a gate asks for 0.95."""
    folder = tmp_path / "mood"
    folder.mkdir()
    (folder / "saved.yaml").write_text(RECIPE)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    write_answers(tmp_path, wrong=2)
    write_suite(tmp_path, TESTS.format(second=0.5))
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --strict-markers\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a test file that is rewritten within a second is read anew
    return tmp_path


@pytest.fixture
def judge(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a session over the suite in this process."""

    def run(*arguments: str) -> Ended:
        sys.modules.pop("test_mood", None)
        capsys.readouterr()
        status = int(pytest.main(["mood", *arguments]))
        printed = capsys.readouterr()
        found = re.search(r"^=+ (.*) in [\d.]+s =+$", printed.out, re.MULTILINE)
        text = " ".join(f"{printed.out} {printed.err}".split())
        return Ended(status, text, found[1] if found else "")

    return run


def write_answers(root: Path, *, wrong: int) -> None:
    rows = [
        {"id": row["id"], "prediction": "?" if number < wrong else row["mood"], "reference": row["mood"]}
        for number, row in enumerate(ROWS)
    ]
    (root / "mood" / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_suite(root: Path, source: str) -> None:
    (root / "mood" / "test_mood.py").write_text(source)


def run_key(root: Path) -> str:
    key = reports.read_report(root / ".slmcheck/reports/latest").runs[0].key
    assert key
    return key


def waive(root: Path, **changes: str | tuple[str, ...]) -> Path:
    values: Mapping[str, str | tuple[str, ...]] = {
        "gate": "test_mood.py::test_level[run=saved]",
        "run": "mood/saved",
        "claims": ("saved.accuracy >= 0.95",),
        "reason": "the customer knows",
        "expires": LATER,
        "created": NOW.isoformat(timespec="seconds"),
        "by": "Ann",
        "run_key": "",
        **changes,
    }
    chosen = dict(values)
    chosen["run_key"] = chosen["run_key"] or run_key(root)
    return write_waiver(Waiver(**chosen), root / "mood")  # type: ignore[arg-type]


def test_a_waived_gate_blocks_nothing_and_is_waived_in_every_format(judge: Callable[..., Ended], suite: Path) -> None:
    assert judge().counts == "1 failed"
    waive(suite)
    result = judge("-v", "--junitxml=junit.xml")
    assert result.status == 0
    assert "test_level[run=saved] WAIVED" in result.text
    assert "1 waived in" in result.text
    case = next(ElementTree.parse(suite / "junit.xml").iter("testcase"))
    assert case.find("skipped") is not None
    assert case.find("skipped").get("message", "").startswith("WAIVED until")  # type: ignore[union-attr]
    report = reports.read_report(suite / ".slmcheck/reports/latest")
    by_claim = {verdict.claim: verdict for verdict in report.verdicts}
    waived, judged = by_claim["saved.accuracy >= 0.95"], by_claim["saved.accuracy >= 0.5"]
    assert (waived.state, waived.holds, waived.shown) == ("fail", False, "waived")
    assert (judged.state, judged.holds, judged.shown) == ("pass", True, "pass")
    assert report.outcomes[0].outcome == "waived"
    pages = [render_terminal(report, 80, color=False), markdown.render(report), html.render(report)]
    assert all("WAIVED" in page and "the customer knows" in page for page in pages)
    [of_run] = card.render_all(report).values()
    assert "WAIVED" in of_run
    assert not any("✓ 2 gates" in page for page in [*pages, of_run])
    assert json.loads((suite / ".slmcheck/reports/latest/report.json").read_text())["tests"] == {"waived": 1}


def test_a_claim_after_the_waived_one_is_judged_and_blocks(judge: Callable[..., Ended], suite: Path) -> None:
    write_suite(suite, TESTS.format(second=0.93))
    judge()
    waive(suite)
    result = judge()
    assert result.counts == "1 failed"
    assert "0.93" in result.text


def test_an_assert_that_is_no_claim_is_never_waived(judge: Callable[..., Ended], suite: Path) -> None:
    write_suite(suite, "def test_level(run):\n    assert run.accuracy >= 0.95\n    assert run.recipe is None\n")
    judge()
    waive(suite)
    assert judge().counts == "1 failed"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"expires": EARLIER}, f"a waiver of this gate by Ann expired on {EARLIER}"),
        ({"run_key": "ab" * 32}, "is for run abababababab; this is run"),
        ({"claims": ("saved.f1 >= 1.0",)}, "is for another claim: saved.f1 >= 1.0"),
    ],
)
def test_a_waiver_that_does_not_count_is_said(
    changes: dict[str, str | tuple[str, ...]], expected: str, judge: Callable[..., Ended], suite: Path
) -> None:
    judge()
    waive(suite, **changes)
    result = judge()
    assert result.counts == "1 failed"
    assert expected in result.text


def test_another_training_ends_a_waiver(judge: Callable[..., Ended], suite: Path) -> None:
    assert judge().counts == "1 failed"
    waive(suite)
    assert judge().counts == "1 waived"
    write_answers(suite, wrong=3)
    assert judge().counts == "1 failed"


def test_a_waived_session_moves_no_baseline(judge: Callable[..., Ended], suite: Path) -> None:
    judge()
    waive(suite)
    result = judge("--slm-accept-baseline")
    assert result.status == 0
    assert "no baseline was accepted: a gate is waived" in result.text
    assert not (suite / "mood" / "baselines").exists()


BROKEN: list[tuple[str, str]] = [
    ("{", "the waiver is no JSON"),
    ("[]", "it has no schema number"),
    ('{"schema": 2}', "written by a newer slmcheck"),
    ('{"schema": 1}', "is damaged"),
    ("<<<<<<< HEAD\n{}\n", "an unresolved merge conflict"),
]


@pytest.mark.parametrize(("content", "expected"), BROKEN)
def test_a_damaged_waiver_is_one_usage_error(
    content: str, expected: str, judge: Callable[..., Ended], suite: Path
) -> None:
    folder = suite / "mood" / "waivers"
    folder.mkdir()
    (folder / "x.json").write_text(content)
    result = judge()
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert expected in result.text
    assert "INTERNALERROR" not in result.text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gate": "test_mood.py::test_gone[run=saved]"}, "has no test 'test_gone'"),
        ({"gate": "test_old.py::test_level[run=saved]"}, "but there is no"),
        ({"expires": "soon"}, "expires is 'soon', which is no day"),
        ({"created": "yesterday"}, "created is 'yesterday', which is no time"),
        ({"reason": " "}, "'reason' is empty"),
        ({"claims": ()}, "'claims' is empty"),
        ({"created": "2999-01-01T00:00:00+00:00"}, "The clock of this machine says"),
    ],
)
def test_a_waiver_that_cannot_be_trusted_is_one_usage_error(
    changes: dict[str, str | tuple[str, ...]], expected: str, judge: Callable[..., Ended], suite: Path
) -> None:
    waive(suite, run_key="ab" * 32, **changes)
    result = judge()
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert expected in result.text


def quarantined(arguments: str) -> str:
    return f"import pytest\n@pytest.mark.slm_quarantine({arguments})\n" + TESTS.format(second=0.5)


def test_a_quarantined_gate_reports_without_blocking(judge: Callable[..., Ended], suite: Path) -> None:
    write_suite(suite, quarantined(f"until='{LATER}', owner='Bob'"))
    result = judge("-v")
    assert result.status == 0
    assert "QUARANTINED" in result.text
    assert f"QUARANTINED until {LATER}, owner Bob" in result.text


def test_a_quarantined_gate_that_is_met_passes(judge: Callable[..., Ended], suite: Path) -> None:
    write_suite(suite, quarantined(f"until='{LATER}', owner='Bob'"))
    write_answers(suite, wrong=0)
    assert judge().counts == "1 passed"


def test_what_cannot_be_computed_is_never_in_quarantine(judge: Callable[..., Ended], suite: Path) -> None:
    source = quarantined(f"until='{LATER}', owner='Bob'").replace("run.accuracy >= 0.5", "run.bleu >= 1")
    write_suite(suite, source)
    assert judge().counts == "1 failed"


@pytest.mark.parametrize("wrong", [0, 2])
def test_a_quarantine_that_is_over_fails_met_or_not(wrong: int, judge: Callable[..., Ended], suite: Path) -> None:
    write_suite(suite, quarantined(f"until='{EARLIER}', owner='Bob'"))
    write_answers(suite, wrong=wrong)
    assert judge().counts == "1 failed"


def test_a_quarantine_that_is_over_names_its_owner(judge: Callable[..., Ended], suite: Path) -> None:
    write_suite(suite, quarantined(f"until='{EARLIER}', owner='Bob'"))
    write_answers(suite, wrong=0)
    result = judge()
    assert f"ended on {EARLIER}; its owner is Bob." in result.text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "needs until= and owner="),
        ("'2026-12-01', 'Bob'", "needs until= and owner="),
        ("until='2026-12-01'", "needs until= and owner="),
        ("until='2026-12-01', owner=''", "needs until= and owner="),
        ("until='2026-13-01', owner='Bob'", "which is no day"),
        ("until=20261201, owner=7", "needs until= and owner="),
        ("until='2026-12-01', owner='Bob', why='x'", "needs until= and owner="),
    ],
)
def test_a_quarantine_without_day_or_owner_is_one_usage_error(
    arguments: str, expected: str, judge: Callable[..., Ended], suite: Path
) -> None:
    write_suite(suite, quarantined(arguments))
    result = judge()
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert expected in result.text


def test_a_primary_gate_cannot_be_in_quarantine_in_a_release(judge: Callable[..., Ended], suite: Path) -> None:
    write_suite(
        suite,
        quarantined(f"until='{LATER}', owner='Bob'").replace("def test", "@pytest.mark.slm_primary\ndef test"),
    )
    assert judge().status == 0
    result = judge("--slm-gate=release")
    assert result.status == pytest.ExitCode.USAGE_ERROR
    assert "is marked slm_primary and slm_quarantine" in result.text


def test_a_waived_primary_gate_lets_a_release_pass_as_decided(judge: Callable[..., Ended], suite: Path) -> None:
    write_suite(suite, TESTS.format(second=0.5).replace("def ", "import pytest\n@pytest.mark.slm_primary\ndef "))
    assert judge("--slm-gate=release").counts == "1 failed"
    waive(suite)
    result = judge("--slm-gate=release")
    assert result.status == 0
    assert "! Ship, as decided: accuracy of mood/saved is 0.900" in result.text


def test_waivers_count_under_xdist(judge: Callable[..., Ended], suite: Path) -> None:
    judge()
    waive(suite)
    result = judge("-n", "1")
    assert result.status == 0
    assert "1 waived in" in result.text
