"""How much of the examples may be shown: in failure texts, reports, comments, baselines and exported checks.

Every rendering gets its examples through here, so that a suite of customer data says it once, in its recipe.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from slmcheck.records.recipe import ExampleLevel
from slmcheck.records.verdicts import ExampleEvidence, Finding, RunReport

LEVELS: tuple[ExampleLevel, ...] = ("full", "redacted", "none")
_DIGITS = 8
_ID_DIGITS = 16
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|“[^”\n]*”|‘[^’\n]*’|`[^`\n]*`")
HIDDEN = "[redacted]"


@dataclass(frozen=True, kw_only=True)
class Disclosure:
    """What a suite lets its readers see of examples."""

    level: ExampleLevel = "full"
    """`full`: prompts, references and answers; `redacted`: that they are there, how long, and whether they are equal;
    `none`: no example at all."""
    labels: tuple[str, ...] = ()
    """The closed set of answers of a classification: names of classes, which every table shows anyway."""


def stricter(first: ExampleLevel, second: ExampleLevel) -> ExampleLevel:
    """The level that shows less."""
    return max(first, second, key=LEVELS.index)


def shown(examples: Iterable[ExampleEvidence], disclosure: Disclosure) -> tuple[ExampleEvidence, ...]:
    """The examples as a rendering may show them."""
    if disclosure.level == "none":
        return ()
    if disclosure.level == "full":
        return tuple(examples)
    return tuple(_redacted(example, disclosure.labels) for example in examples)


def shown_text(text: str, disclosure: Disclosure) -> str:
    """One text of the data as a rendering may show it; empty where nothing may be shown."""
    if disclosure.level == "full" or not text:
        return text
    return "" if disclosure.level == "none" else f"[redacted: {_length(text)}]"


def shown_findings(findings: Iterable[Finding], disclosure: Disclosure) -> tuple[Finding, ...]:
    """Findings as a rendering may show them: what they quote may be of the data, so quotations go."""
    if disclosure.level == "full":
        return tuple(findings)
    return tuple(
        replace(
            finding,
            summary=unquoted(finding.summary, disclosure),
            evidence=tuple(unquoted(fact, disclosure) for fact in finding.evidence),
            examples=() if disclosure.level == "none" else finding.examples,
            consequences=shown_findings(finding.consequences, disclosure),
        )
        for finding in findings
    )


def shown_run(report: RunReport, disclosure: Disclosure) -> RunReport:
    """What a report says of a run, as its suite lets it be shown."""
    if disclosure.level == "full":
        return report
    return replace(
        report,
        examples=shown(report.examples, disclosure),
        rendered_row=shown_text(report.rendered_row, disclosure),
        findings=shown_findings(report.findings, disclosure),
        changes=tuple(unquoted(change, disclosure) for change in report.changes),
        notes=(
            *(unquoted(note, disclosure) for note in report.notes),
            f"examples: {disclosure.level}, says the recipe",
        ),
    )


def unquoted(text: str, disclosure: Disclosure) -> str:
    """A sentence whose quotations are left out, but for names of classes."""
    if disclosure.level == "full":
        return text
    return _QUOTED.sub(lambda found: found[0] if found[0][1:-1] in disclosure.labels else HIDDEN, text)


def hashed(text: str) -> str:
    """Sixteen hex digits in place of a text: equal texts stay equal."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:_ID_DIGITS]


def _redacted(example: ExampleEvidence, labels: tuple[str, ...]) -> ExampleEvidence:
    def hide(text: str) -> str:
        if not text or text in labels:
            return text
        # The id makes the digest another one in every example: equal answers of one example are seen, nothing else.
        seen = hashlib.sha256(f"{example.id}\n{text.strip()}".encode("utf-8", errors="surrogatepass")).hexdigest()
        return f"[redacted: {_length(text)}, #{seen[:_DIGITS]}]"

    return replace(
        example,
        prompt=f"[redacted: {_length(example.prompt)}]" if example.prompt else "",
        reference=" | ".join(hide(part) for part in example.reference.split(" | ")),
        answer=hide(example.answer),
        old_answer=None if example.old_answer is None else hide(example.old_answer),
        note=unquoted(example.note, Disclosure(level="redacted", labels=labels)),
    )


def _length(text: str) -> str:
    return f"{len(text):,} character{'' if len(text) == 1 else 's'}"
