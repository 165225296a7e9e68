"""report.json, the canonical form of a report: every other rendering can be made from it again.

Fields stand in declared order, mappings by key, runs by name and verdicts by test, so that two sessions that judged the
same give the same text whatever order their tests ended in.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

from slmcheck.errors import InputError, StoreError
from slmcheck.records import REPORT_VERSION, Json, Report, from_json, to_json

FILE_NAME = "report.json"


def ordered(report: Report) -> Report:
    """The report with runs by name, verdicts and outcomes by test; claims of one test keep their order."""
    return replace(
        report,
        runs=tuple(sorted(report.runs, key=lambda run: run.name)),
        verdicts=tuple(sorted(report.verdicts, key=lambda verdict: verdict.test or "")),
        outcomes=tuple(sorted(report.outcomes, key=lambda outcome: outcome.test)),
    )


def canonical(report: Report) -> Report:
    """The report as a reader of its report.json gets it.

    Raises:
        StoreError: If a number that a report cannot do without is not finite.
    """
    return from_json(Report, _value(ordered(report)))


def render(report: Report) -> str:
    """The text of report.json; numbers that are not finite become null.

    Raises:
        StoreError: If a number that a report cannot do without is not finite.
    """
    return json.dumps(_value(canonical(report)), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def write(report: Report, folder: Path) -> Path:
    """Write report.json into `folder`, which is made if it is missing; the file is replaced as a whole.

    Raises:
        StoreError: If the report cannot be written.
    """
    return write_text(render(report), folder / FILE_NAME)


def write_text(text: str, path: Path) -> Path:
    """Write a rendering so that a reader sees the old file or the new one, never half of it.

    Raises:
        StoreError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(
            OSError
        ):  # what stopped the writing may stop this too; the first error is the one to tell
            temporary.unlink()
        raise StoreError(
            f"The report cannot be written: {error.strerror or error}.\n{path}\n"
            "Expected a folder that can be written to.\nNext: make room or name another folder with --slm-report DIR."
        ) from error
    return path


def read(path: Path) -> Report:
    """The report in a report.json, or in the folder that holds one.

    Raises:
        InputError: If there is none, it is damaged, or it was written by a newer slmcheck.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"There is no report at '{path}'.\nExpected a {FILE_NAME}, or a folder that holds one.\n"
            "Make one: slmcheck run SUITES, or pytest SUITES --slm-report DIR."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{file}' cannot be read as a report: {error}.\nExpected the {FILE_NAME} that slmcheck wrote.\n"
            "Run the suites again to write a new one."
        ) from error
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"'{file}' is no report: its version is {version!r}.\nExpected a {FILE_NAME} of slmcheck.")
    if version > REPORT_VERSION:
        raise InputError(
            f"'{file}' has report version {version}, newer than this slmcheck can read.\n"
            f"Expected version {REPORT_VERSION} or older.\nUpgrade slmcheck to read it: pip install --upgrade slmcheck"
        )
    try:
        return from_json(Report, document)
    except StoreError as error:
        raise InputError(f"'{file}' is damaged.\n{error}") from error


def _value(value: object) -> Json:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _value(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_value(item) for item in value]
    plain: Json = to_json(value)
    return plain
