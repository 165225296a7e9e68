"""One text for one value, and hashes of such texts: how keys are made."""

from __future__ import annotations

import hashlib
import json

from slmcheck.records import Environment, Json, to_json

_ENVIRONMENT_DIGITS = 16


def canonical_json(value: Json) -> str:
    """The one JSON text of a value: keys sorted, no spaces, floats by `repr`, no NaN.

    Whole numbers and floats stay apart (`1` and `1.0` are two values), so a record decides the type of its fields.

    Raises:
        ValueError: If the value holds NaN or an infinity, which have no JSON text.
        TypeError: If it holds something else than JSON values, or a key that is no string.
    """
    _check_keys(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(kind: str, value: Json) -> str:
    """The key of a value: 64 hex digits of SHA-256, different for every kind of key.

    Raises:
        ValueError: As `canonical_json`.
        TypeError: As `canonical_json`.
    """
    text = f"slmcheck-{kind}-v1\n{canonical_json(value)}"
    # Rows may hold lone surrogates (JSON can write them); they are text like any other here.
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def environment_digest(environment: Environment) -> str:
    """Sixteen hex digits that name an environment; equal for equal device, type, threads and versions."""
    return digest("environment", to_json(environment))[:_ENVIRONMENT_DIGITS]


def _check_keys(value: Json) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                # json.dumps would turn 1 and "1" into the same key.
                raise TypeError(f"{key!r} is no key of a JSON object: keys are strings")
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)
