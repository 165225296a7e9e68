"""The diagnosis of a run on the page: causes in order, each with its evidence, remedy and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.records import EvidenceNumber, Finding
from slmcheck.reports import units
from slmcheck.reports.page.elements import Html, data_table, disclosure, element
from slmcheck.reports.text import one_line

_SYMBOLS = {"problem": "✗", "warning": "~", "note": "+"}
_STATES = {"problem": "fail", "warning": "inconclusive", "note": "accepted"}


def diagnosis_section(findings: Sequence[Finding], name: str) -> list[Html]:
    """Causes in full; notes are folded away."""
    if not findings:
        return []
    grave = [finding for finding in findings if finding.severity != "note"]
    notes = [finding for finding in findings if finding.severity == "note"]
    parts = [element("h3", "Diagnosis")]
    parts += [finding_block(finding) for finding in grave]
    if not grave:
        parts.append(element("p", f"Nothing is wrong with {one_line(name)}."))
    if notes:
        parts.append(disclosure(f"Notes ({len(notes)})", *(finding_block(finding) for finding in notes)))
    return parts


def finding_block(finding: Finding) -> Html:
    """One finding."""
    parts = [
        element(
            "h3",
            element("span", _SYMBOLS[finding.severity], class_="symbol", aria_hidden="true"),
            element("span", finding.severity, class_="severity"),
            element("span", one_line(finding.cause)),
        ),
        element("p", one_line(finding.summary)),
    ]
    if finding.evidence:
        parts.append(element("ul", *(element("li", one_line(line)) for line in finding.evidence)))
    if finding.remedy:
        parts.append(element("p", element("b", "Remedy: "), one_line(finding.remedy)))
    if finding.recipe_patch:
        changes = ", ".join(f"{name}: {value}" for name, value in finding.recipe_patch.items())
        parts.append(element("p", element("b", "Recipe: "), element("code", one_line(changes))))
    if finding.next_experiment:
        parts.append(element("p", element("code", one_line(finding.next_experiment), class_="command")))
    if finding.consequences:
        items = [element("li", element("b", f"{one.cause}: "), one_line(one.summary)) for one in finding.consequences]
        parts += [element("p", "What follows from it:"), element("ul", *items)]
    if finding.numbers:
        header = ("what was measured", "value", "95 % interval")
        rows = [_number(number) for number in finding.numbers]
        parts.append(disclosure("Numbers", data_table(f"Evidence of {finding.cause}", header, rows)))
    return element("div", *parts, class_=f"finding state-{_STATES[finding.severity]}")


def _number(number: EvidenceNumber) -> tuple[str, str, str]:
    return (
        one_line(number.name),
        units.value(number.value, number.unit),
        units.interval(number.low, number.high, number.unit),
    )
