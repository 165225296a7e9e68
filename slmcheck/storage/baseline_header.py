"""The text of a baseline's `<stem>.json`, laid out for git.

    {
      "schema": 2,
      "run": "tone/lora",
      "task": "classification",
      "private": false,
      "accepted": {"run": "tone/lora", "run_key": "1a2b...", "by": "Ann", "created": "...", "scores": {...}, ...},
      "scores": [
        {"metric": "accuracy", "split": "test", "unit": "share", ...},
        ...
      ]
    }

What differs from one accepted run to the next stands in the line `accepted` alone, so that two accepts of one recipe
conflict in that line, which names both runs. The other lines say what the scores mean; they change with the suite.

The examples file merges by union (`.gitattributes`): it is long and no person would resolve it line by line. The digest
in `accepted` tells a file that a merge has mixed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slmcheck.errors import StoreError
from slmcheck.storage.files import disk_errors, write_whole

ATTRIBUTES_FILE = ".gitattributes"
ATTRIBUTES = "*.examples.jsonl merge=union"
_NOTE = "# Two accepts of one recipe conflict in the header alone; then: slmcheck baseline resolve RUN"
_MEASURED = ("value", "low", "high", "n", "seeds", "seed_sd")
"""What of a score differs from run to run; in the line `accepted`, in this order."""
_STABLE = ("schema", "run", "task", "private")


def header_text(document: Mapping[str, Any]) -> str:
    """The text of a header.

    Args:
        document: The header as JSON, its scores complete.
    """
    scores = document["scores"]
    accepted = {"run": document["run"]}
    accepted |= {name: value for name, value in document.items() if name not in (*_STABLE, "scores")}
    # What a person looks for first stands first in a long line.
    first = ("run", "run_key", "by", "created", "reason", "regressions")
    measured = {score_name(score): [score[name] for name in _MEASURED] for score in scores}
    ordered = {name: accepted[name] for name in first} | {"scores": measured} | accepted
    meanings = [{name: value for name, value in score.items() if name not in _MEASURED} for score in scores]
    lines = [f'  "{name}": {_compact(document[name])},' for name in _STABLE]
    lines.append(f'  "accepted": {_compact(ordered)},')
    listed = ",\n".join(f"    {_compact(meaning)}" for meaning in meanings)
    lines.append(f'  "scores": [\n{listed}\n  ]' if meanings else '  "scores": []')
    return "{\n" + "\n".join(lines) + "\n}\n"


def header_document(value: Mapping[str, Any]) -> dict[str, Any]:
    """A header of schema 2 as one flat JSON object with complete scores.

    Raises:
        StoreError: If the line `accepted` is missing or lacks a score.
    """
    accepted = value.get("accepted")
    if not isinstance(accepted, Mapping) or not isinstance(accepted.get("scores"), Mapping):
        raise StoreError("'accepted' is no object with scores.")
    measured = accepted["scores"]
    scores = []
    for meaning in value.get("scores", ()):
        name = score_name(meaning) if isinstance(meaning, Mapping) else "?"
        values = measured.get(name)
        if not isinstance(values, list) or len(values) != len(_MEASURED):
            raise StoreError(f"'accepted' has no values of the score '{name}'.")
        scores.append({**meaning, **dict(zip(_MEASURED, values, strict=True))})
    if len(scores) != len(measured):
        unknown = sorted(set(measured) - {score_name(score) for score in scores})
        raise StoreError(f"'accepted' has values of {', '.join(unknown)}, which 'scores' does not explain.")
    facts = {name: item for name, item in accepted.items() if name not in ("scores", "run")}
    return {**{name: value[name] for name in _STABLE if name in value}, **facts, "scores": scores}


def score_name(score: Mapping[str, Any]) -> str:
    """What a score is called in the line `accepted`.

    Its metric, with split and variant where they are not the run's own test split.
    """
    parts = [str(score.get("metric"))]
    if score.get("split", "test") != "test" or score.get("variant"):
        parts += [str(score.get("split", "test"))]
    if score.get("variant"):
        parts.append(str(score["variant"]))
    return "|".join(parts)


def lines_digest(lines: bytes) -> str:
    """Digest of an examples file, whatever line ends git gave it; 16 hex digits."""
    return hashlib.sha256(lines.replace(b"\r\n", b"\n")).hexdigest()[:16]


def write_attributes(folder: Path) -> None:
    """Tell git how to merge the examples of a folder of baselines; other lines of the file stay.

    Raises:
        StoreError: If the disk refuses.
    """
    path = folder / ATTRIBUTES_FILE
    present = path.read_text(encoding="utf-8") if path.is_file() else ""
    if ATTRIBUTES in present.splitlines():
        return
    with disk_errors(folder, f"writing {ATTRIBUTES_FILE}"):
        folder.mkdir(parents=True, exist_ok=True)
        start = present if not present or present.endswith("\n") else present + "\n"
        write_whole(path, f"{start}{_NOTE}\n{ATTRIBUTES}\n".encode(), scratch=folder)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
