"""The catalogue: every cause that the code names is in it, and the page of the reference is made from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import slmcheck
from slmcheck.diagnosis import CAUSES, GROUPS
from slmcheck.diagnosis.reference import page

SOURCES = sorted(Path(slmcheck.__file__).parent.rglob("*.py"))
NAMED = re.compile(r'cause="([a-z-]+)"(?: if .*? else "([a-z-]+)")?')


def test_every_cause_in_the_source_is_in_the_catalogue():
    named = {cause for path in SOURCES for pair in NAMED.findall(path.read_text("utf-8")) for cause in pair if cause}
    assert len(named) > 50
    assert named - set(CAUSES) == set()


def test_groups_stand_in_the_order_of_asking():
    groups = [cause.group for cause in CAUSES.values()]
    assert list(dict.fromkeys(groups)) == list(GROUPS)
    assert groups == sorted(groups, key=list(GROUPS).index)


@pytest.mark.parametrize("cause", CAUSES.values(), ids=lambda cause: cause.id)
def test_every_cause_says_its_evidence_and_its_remedy(cause):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cause.id)
    assert cause.evidence.endswith(".")
    assert cause.remedy.endswith(".")


def test_the_page_of_the_reference_is_what_the_catalogue_says():
    written = Path(__file__).parents[2] / "docs" / "reference" / "findings.md"
    assert written.read_text("utf-8") == page()
