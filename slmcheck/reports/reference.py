"""The page docs/reference/report.md, made from the records: `python -m slmcheck.reports.reference`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Mapping

from slmcheck.records import (
    REPORT_VERSION,
    ChangeRecord,
    ConfusionRecord,
    CurvePoint,
    DivergenceRecord,
    Environment,
    EvidenceNumber,
    ExampleEvidence,
    Exclusion,
    Exemption,
    Finding,
    GapRecord,
    HistoryPoint,
    LearningCurveRecord,
    Location,
    ModuleError,
    NodeDifference,
    OutcomeRecord,
    ReliabilityBin,
    Report,
    Resources,
    RunReport,
    ScoreRecord,
    SearchRecord,
    TrendPoint,
    TrialRecord,
    UsagePoint,
    VerdictRecord,
    WeightDifference,
)

RECORDS: tuple[type, ...] = (
    Report,
    OutcomeRecord,
    VerdictRecord,
    Exemption,
    ExampleEvidence,
    RunReport,
    ScoreRecord,
    GapRecord,
    ConfusionRecord,
    TrendPoint,
    Finding,
    EvidenceNumber,
    DivergenceRecord,
    ReliabilityBin,
    HistoryPoint,
    Resources,
    UsagePoint,
    Location,
    WeightDifference,
    ModuleError,
    NodeDifference,
    Exclusion,
    SearchRecord,
    TrialRecord,
    LearningCurveRecord,
    CurvePoint,
    ChangeRecord,
    Environment,
)
"""In reading order, the whole file first."""

_HEAD = """# Fields of report.json

Every session that judged a run writes `report.json`; the other forms of a report are made from it. The form has version
{version}, and a reader refuses a newer one. Fields stand in the order given here, mappings by key, verdicts by test and
runs by name, so that two sessions that judged the same write the same text. A number that is not known is `null`.

<!-- Made by `python -m slmcheck.reports.reference`; a test keeps it true. -->
"""


def page() -> str:
    """The Markdown of the page."""
    parts = [_HEAD.format(version=REPORT_VERSION)]
    for record in RECORDS:
        described = [f"## {record.__name__}", (inspect.getdoc(record) or "").strip()]
        parts.append("\n\n".join([*described, "\n".join(_table(record))]) + "\n")
    return "\n".join(parts)


def field_texts(record: type) -> Mapping[str, str]:
    """The string that stands after each field of a record in its source, on one line."""
    body = ast.parse(inspect.getsource(record)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    name = ""
    for statement in body.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            texts[name] = ""
        elif name and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            texts[name] = " ".join(str(statement.value.value).split())
    return texts


def _table(record: type) -> list[str]:
    hints, texts = typing.get_type_hints(record), field_texts(record)
    rows = ["| field | kind | meaning |", "| --- | --- | --- |"]
    for item in dataclasses.fields(record):
        cells = (f"`{item.name}`", _kind(hints[item.name]), texts[item.name])
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _kind(hint: object) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        known = [_kind(argument) for argument in arguments if argument is not type(None)]
        return f"{' or '.join(known)}, or null"
    if origin is typing.Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if origin is Mapping:
        return f"mapping to {_kind(arguments[1])}"
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"[{hint.__name__}](#{re.sub(r'[^a-z]', '', hint.__name__.lower())})"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", object: "any value"}
    return words[typing.cast("type", hint)]


if __name__ == "__main__":
    sys.stdout.write(page())
