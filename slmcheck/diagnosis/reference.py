"""The reference page of all causes: `python -m slmcheck.diagnosis.reference > docs/reference/findings.md`."""

from __future__ import annotations

import sys

from slmcheck.diagnosis.causes import GROUPS, causes_of

_HEAD = """# Findings

A finding names a cause, with its evidence, a remedy and, where a recipe can carry it out, the fields to change. Causes
are asked for in the order of this page. The first problem is the cause; what later groups say of how the run learned
and answered follows from it and is listed under it. `problem` explains a failure, `warning` may, `note` is worth
knowing.

    slmcheck data check RECIPE                              rows and template, before training
    slmcheck diagnose RUN                                   everything, after training; never trains
    slmcheck diagnose RUN --write-recipe fixed.yaml         the recipe with the remedies carried out
    assert not run.diagnosis.problems                       the same as a gate

<!-- Made by `python -m slmcheck.diagnosis.reference`; a test keeps it true. -->
"""


def page() -> str:
    """The Markdown of the page."""
    parts = [_HEAD]
    for group, sentence in GROUPS.items():
        rows = [f"| `{cause.id}` | {cause.evidence} | {cause.remedy} |" for cause in causes_of(group)]
        table = ["| cause | evidence | remedy |", "| --- | --- | --- |", *rows]
        parts.append("\n\n".join([f"## {group.capitalize()}", sentence, "\n".join(table)]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
