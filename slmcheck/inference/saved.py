"""Predictions that another tool made: JSONL, one object a row.

    {"id": "17", "prediction": "spam", "reference": "ham"}

Optional fields: `option_scores` (an object from option to log-probability), `nll` with `tokens`, `bytes`, `words`,
`group`, `prompt`, `finished`. `reference` is a text or a list of texts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from slmcheck.errors import DataError
from slmcheck.records import Json, Prediction

_FIELDS = {
    "id", "prediction", "reference", "option_scores", "nll", "tokens", "bytes", "words", "group", "prompt", "finished",
}  # fmt: skip
_SHOWN = 5


def read_saved_predictions(path: Path) -> tuple[Prediction, ...]:
    """The predictions of a file, in file order.

    Raises:
        DataError: If the file is missing or rows cannot be used; lists them with their line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"Predictions file '{path}' does not exist.\nGive the path of a JSONL file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Predictions file '{path}' cannot be read: {error}.") from error
    problems: list[str] = []
    found: list[Prediction] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            prediction = _prediction(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            problems.append(f"{path}:{number}: {_reason(error)}")
            continue
        if prediction.id in seen:
            problems.append(f"{path}:{number}: id '{prediction.id}' stands in line {seen[prediction.id]} too")
        seen[prediction.id] = number
        found.append(prediction)
    if problems:
        more = f" {len(problems) - _SHOWN} more." if len(problems) > _SHOWN else ""
        raise DataError(
            f"{len(problems)} rows of saved predictions cannot be used.\n{'. '.join(problems[:_SHOWN])}.{more}\n"
            'Every row needs "id", "prediction" and "reference" (or "nll" and "tokens").'
        )
    if not found:
        raise DataError(f"Predictions file '{path}' has no rows.\nIt needs one JSON object a line.")
    return tuple(found)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg} at column {error.colno}"
    if isinstance(error, KeyError):
        return f"field {error} is missing"
    return str(error)


def _prediction(row: object) -> Prediction:
    if not isinstance(row, Mapping):
        raise TypeError("expected an object")
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise ValueError(f"unknown field '{unknown[0]}' (known: {', '.join(sorted(_FIELDS))})")
    scores = row.get("option_scores")
    if scores is not None and not isinstance(scores, Mapping):
        raise TypeError("option_scores is no object from option to log-probability")
    options = tuple(str(option) for option in scores) if scores else ()
    values = tuple(_number(value, "option_scores") for value in scores.values()) if scores else None
    nll = row.get("nll")
    return Prediction(
        id=str(row["id"]),
        prediction=None if nll is not None and "prediction" not in row else str(row["prediction"]),
        references=_references(row.get("reference"), required=nll is None),
        prompt=str(row.get("prompt", "")),
        options=options,
        option_scores=values,
        option_probabilities=_softmax(values) if values else None,
        nll=None if nll is None else _number(nll, "nll"),
        tokens=_count(row, "tokens"),
        bytes=_count(row, "bytes"),
        words=_count(row, "words"),
        finished=bool(row["finished"]) if "finished" in row else None,
        group=str(row["group"]) if row.get("group") is not None else None,
        row=dict(row),
    )


def _references(value: Json, *, required: bool) -> tuple[str, ...]:
    if value is None:
        if required:
            raise KeyError("reference")
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(str(item) for item in value)
    return (str(value),)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}; expected a finite number")
    return float(value)


def _count(row: Mapping[str, object], name: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}; expected a whole number from 0")
    return value


def _softmax(scores: Sequence[float]) -> tuple[float, ...]:
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = sum(weights)
    return tuple(weight / total for weight in weights)
