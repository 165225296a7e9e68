"""Metrics of answers that must have a form: JSON of a schema, fields with values, calls of tools.

Names and arguments are compared as JSON values: the order of keys and white space play no role, the type does (1 is not
"1", 1 is 1.0). An answer that cannot be read is wrong, never an error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slmcheck.errors import InputError, UndefinedScoreError
from slmcheck.gates import MetricInfo
from slmcheck.metrics.definition import (
    GENERATED,
    Array,
    Metric,
    Statistics,
    mean_of_sum,
    mean_statistics,
    required,
    with_references,
)
from slmcheck.records import Json, Prediction

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Call = tuple[str, object]
"""The name of a tool and its arguments."""
_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_UNREADABLE = object()


def json_of(text: str | None) -> object:
    """The JSON value that a text is; an object equal to nothing else where it is none. NaN is no JSON."""
    try:
        return json.loads(text or "", parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _UNREADABLE


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def share_of_answers(
    name: str,
    is_right: Callable[[Prediction], bool],
    *,
    signature: str,
    description: str,
    with_reference: bool = False,
) -> Metric:
    """A metric that is the share of answers of which something is true; 0..1, higher is better."""

    def statistics(predictions: Sequence[Prediction]) -> Statistics:
        if with_reference:
            with_references(name, predictions)
        else:
            required(name, predictions, lambda item: True, "the answer")  # no answer keeps no rule: it is wrong
        return mean_statistics(float(is_right(item)) for item in predictions)

    return Metric(
        info=MetricInfo(name=name, unit="share", interval="wilson", paired="mcnemar", signature=signature),
        statistics=statistics,
        value_of_sum=mean_of_sum,
        needs=GENERATED,
        answers_only=True,
        description=description,
    )


def matches_schema(schema: Mapping[str, Json] | Path | str, *, name: str = "schema_valid") -> Metric:
    """The share of answers that are JSON of a schema; 0..1, higher is better.

    Judged by jsonschema, with the draft that the schema names (`$schema`), else the newest that it knows. References
    to other documents are not fetched.

    Args:
        schema: The schema, or its file.
        name: How the metric is called in verdicts and reports.

    Raises:
        InputError: If the file cannot be read, or is no JSON schema.
    """
    document = _schema(schema)
    validator = _validator(document)
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]

    def is_valid(item: Prediction) -> bool:
        value = json_of(item.prediction)
        return value is not _UNREADABLE and bool(validator.is_valid(value))

    return share_of_answers(
        name,
        is_valid,
        signature=f"schema_valid|schema:{digest}|version:1",
        description="Share of answers that are JSON of the schema; 0..1, higher is better.",
    )


def field_accuracy_of(field: str) -> Metric:
    """The share of rows whose answer has the reference's value in one field; 0..1, higher is better.

    A row whose reference lacks the field is right where the answer lacks it too.

    Args:
        field: Name of a field of the JSON object, `outer.inner` for one of an inner object.
    """

    def is_right(item: Prediction) -> bool:
        given = _value_at(json_of(item.prediction), field)
        return any(_equal(given, _value_at(_reference(reference, item.id), field)) for reference in item.references)

    return share_of_answers(
        f"field_accuracy({field})",
        is_right,
        signature=f"field_accuracy|field:{field}|version:1",
        description=f"Share of rows with the right value of {field}; 0..1, higher is better.",
        with_reference=True,
    )


def _field_counts(item: Prediction) -> tuple[float, float]:
    """Right fields and all fields of a row: those of the reference or of the answer; against the best reference."""
    given = json_of(item.prediction)
    fields = given if isinstance(given, dict) else {}
    best: tuple[float, float] | None = None
    for text in item.references:
        expected = _reference(text, item.id)
        names = {*fields, *expected}
        right = sum(_equal(fields.get(name, _UNREADABLE), expected.get(name, _UNREADABLE)) for name in names)
        if not names:  # nothing was asked for: an empty object is one right decision, anything unreadable a wrong one
            names, right = {""}, int(isinstance(given, dict))
        if best is None or right / len(names) > best[0] / best[1]:
            best = (float(right), float(len(names)))
    assert best is not None  # rows without references were refused
    return best


def _field_statistics(predictions: Sequence[Prediction]) -> Statistics:
    with_references("field_accuracy", predictions)
    table = np.array([_field_counts(item) for item in predictions], dtype=np.float64)
    return Statistics(table, value_of_sum=_share, columns=("right", "fields"))


def _share(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1], dtype=np.float64)


def calls_of(text: str | None) -> tuple[Call, ...] | None:
    """The tool calls of an answer; None where it has none that can be read.

    Read are `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, once or several times with text around it, a
    bare object of that form, a list of such objects, and OpenAI's `{"tool_calls": [{"function": {...}}]}`. Arguments
    may be an object or JSON in a text.
    """
    tagged = _TAGGED.findall(text or "")
    values = [json_of(part) for part in tagged] if tagged else [json_of(text)]
    found: list[Call] = []
    for value in values:
        if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
            items: Sequence[object] = value["tool_calls"]
        else:
            items = value if isinstance(value, list) else [value]
        for item in items:
            call = _call(item)
            if call is None:
                return None
            found.append(call)
    return tuple(found) or None


def _call(item: object) -> Call | None:
    inner = item.get("function") if isinstance(item, dict) and isinstance(item.get("function"), dict) else item
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return None
    arguments = inner.get("arguments", inner.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = json_of(arguments)
    return None if arguments is _UNREADABLE else (inner["name"], arguments)


def _same_names(item: Prediction) -> bool:
    given = calls_of(item.prediction)
    return given is not None and any(
        [name for name, _ in given] == [name for name, _ in _expected_calls(text, item.id)] for text in item.references
    )


def _same_calls(item: Prediction) -> bool:
    given = calls_of(item.prediction)
    return given is not None and any(
        len(given) == len(expected := _expected_calls(text, item.id))
        and all(a[0] == b[0] and _equal(a[1], b[1]) for a, b in zip(given, expected, strict=True))
        for text in item.references
    )


def _expected_calls(text: str, row: str) -> tuple[Call, ...]:
    found = calls_of(text)
    if found is None:
        raise UndefinedScoreError(
            f"The reference of example {row} holds no tool call: {text[:80]!r}.\n"
            'Expected {"name": "search", "arguments": {"query": "..."}}, alone, in a list or in <tool_call> tags.'
        )
    return found


def _reference(text: str, row: str) -> Mapping[str, object]:
    value = json_of(text)
    if not isinstance(value, dict):
        raise UndefinedScoreError(
            f"The reference of example {row} is no JSON object: {text[:80]!r}.\n"
            'Fields need references such as {"time": "13:00"}.'
        )
    return value


def _value_at(value: object, path: str) -> object:
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return _UNREADABLE
        value = value[name]
    return value


def _equal(one: object, other: object) -> bool:
    """Whether two JSON values are the same: true is not 1, a text is compared without surrounding white space."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and isinstance(other, str):
        return one.strip() == other.strip()
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def _schema(schema: Mapping[str, Json] | Path | str) -> Mapping[str, Json]:
    if isinstance(schema, Mapping):
        return schema
    try:
        document = json.loads(Path(schema).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The JSON schema '{schema}' cannot be read: {error}.") from error
    if not isinstance(document, dict):
        raise InputError(f"'{schema}' is no JSON schema: expected an object, found {type(document).__name__}.")
    return document


def _validator(document: Mapping[str, Json]) -> Validator:
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    kind = validator_for(document)
    try:
        kind.check_schema(document)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top"
        raise InputError(f"The JSON schema is wrong at {place}: {error.message}.") from error
    validator: Validator = kind(document)
    return validator


json_valid = share_of_answers(
    "json_valid",
    lambda item: json_of(item.prediction) is not _UNREADABLE,
    signature="json_valid|version:1",
    description="Share of answers that are JSON; 0..1, higher is better.",
)
field_accuracy = Metric(
    info=MetricInfo(
        name="field_accuracy", unit="share", scale="logit", signature="field_accuracy|fields:all|version:1"
    ),
    statistics=_field_statistics,
    value_of_sum=_share,
    needs=GENERATED,
    answers_only=True,
    description="Share of fields, of reference or answer, with the right value over all rows; 0..1, higher is better.",
)
tool_name_match = share_of_answers(
    "tool_name_match",
    _same_names,
    signature="tool_name_match|order:kept|version:1",
    description="Share of answers that call the tools of a reference, in its order; 0..1, higher is better.",
    with_reference=True,
)
tool_argument_match = share_of_answers(
    "tool_argument_match",
    _same_calls,
    signature="tool_argument_match|order:kept|version:1",
    description="Share of answers that call the tools of a reference with its arguments; 0..1, higher is better.",
    with_reference=True,
)
