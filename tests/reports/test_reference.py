from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from slmcheck.reports.reference import RECORDS, field_texts, page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "report.md"


def test_the_page_is_what_the_records_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: python -m slmcheck.reports.reference > docs/reference/report.md"
    )


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_says_what_it_means(record: type) -> None:
    texts = field_texts(record)
    assert [field.name for field in dataclasses.fields(record) if not texts[field.name]] == []


def test_every_record_of_a_report_has_its_section() -> None:
    import typing

    reached: set[type] = set()
    pending: list[object] = [RECORDS[0]]
    while pending:
        hint = pending.pop()
        if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint not in reached:
            reached.add(hint)
            pending += typing.get_type_hints(hint).values()
        pending += typing.get_args(hint)
    assert reached == set(RECORDS)
