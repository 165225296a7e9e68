from __future__ import annotations

import json as standard_json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from slmcheck.errors import InputError, StoreError
from slmcheck.records import Report
from slmcheck.reports import json


def test_a_report_is_read_as_it_was_written(report: Report, tmp_path: Path) -> None:
    json.write(report, tmp_path / "new")
    assert json.read(tmp_path / "new") == json.ordered(report)
    assert json.read(tmp_path / "new" / "report.json") == json.ordered(report)


def test_hostile_text_survives_and_the_file_is_ascii(hostile_report: Report, tmp_path: Path) -> None:
    path = json.write(hostile_report, tmp_path)
    assert json.read(path) == json.ordered(hostile_report)
    assert path.read_bytes().isascii()


def test_the_order_in_which_tests_ended_does_not_matter(report: Report) -> None:
    turned = replace(report, verdicts=report.verdicts[::-1], runs=report.runs[::-1], outcomes=report.outcomes[::-1])
    assert json.render(turned) == json.render(report)


def test_mappings_are_written_by_key(report: Report) -> None:
    turned = replace(report, tests=dict(reversed(list(report.tests.items()))))
    assert json.render(turned) == json.render(report)


def test_claims_of_one_test_keep_their_order(report: Report) -> None:
    first, second = (replace(verdict, test="same") for verdict in report.verdicts[:2])
    assert json.ordered(replace(report, verdicts=(second, first))).verdicts == (second, first)


def test_an_unbounded_interval_is_null(report: Report) -> None:
    verdict = replace(report.verdicts[0], high=math.inf)
    text = json.render(replace(report, verdicts=(verdict,)))
    assert standard_json.loads(text)["verdicts"][0]["high"] is None


def test_a_value_that_is_not_finite_is_refused(report: Report) -> None:
    verdict = replace(report.verdicts[0], value=math.nan)
    with pytest.raises(StoreError, match=r"verdicts\[0\].value is None"):
        json.render(replace(report, verdicts=(verdict,)))


def test_a_newer_version_is_one_clear_error(report: Report, tmp_path: Path) -> None:
    path = json.write(replace(report, version=99), tmp_path)
    with pytest.raises(InputError) as caught:
        json.read(path)
    assert "has report version 99, newer than this slmcheck can read" in str(caught.value)
    assert "pip install --upgrade slmcheck" in str(caught.value)


def test_a_missing_report_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="slmcheck run"):
        json.read(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"version": "1"}', '{"version": true}', '{"version": 1, "x": 2}']
)
def test_a_damaged_report_is_one_clear_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"report\.json"):
        json.read(tmp_path)


def test_bytes_that_are_no_text_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a report"):
        json.read(tmp_path)


def test_a_folder_that_cannot_be_written_is_one_clear_error(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="The report cannot be written"):
        json.write(report, tmp_path / "file")


def test_writing_leaves_no_temporary_file(report: Report, tmp_path: Path) -> None:
    json.write(report, tmp_path)
    json.write(report, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
