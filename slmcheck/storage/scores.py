"""Measured scores with their per-example evidence: numbers in an npz, texts in JSON, never pickles."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import StoreError
from slmcheck.records import Json, from_json, to_json
from slmcheck.storage.entries import Entries, EntryName

_NUMBERS, _TEXTS = "statistics.npz", "score.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredScore:
    """One score as the store keeps it; example i stands in row i of everything."""

    ids: tuple[str, ...]
    columns: tuple[str, ...]
    statistics: NDArray[np.float64]
    """Shape (examples, columns)."""
    value: float
    groups: tuple[str, ...] | None = None
    reference_hashes: tuple[str, ...] | None = None
    answers: tuple[str, ...] | None = None
    extras: Mapping[str, Json] = field(default_factory=dict)
    """What the writer wants back: a signature, an interval, a confusion matrix."""

    def __post_init__(self) -> None:
        if self.statistics.shape != (len(self.ids), len(self.columns)):
            raise StoreError(
                f"A score of {len(self.ids)} examples and {len(self.columns)} columns cannot have statistics of shape "
                f"{self.statistics.shape}."
            )


@dataclass(frozen=True, kw_only=True)
class _Texts:
    ids: tuple[str, ...]
    columns: tuple[str, ...]
    value: float
    groups: tuple[str, ...] | None = None
    reference_hashes: tuple[str, ...] | None = None
    answers: tuple[str, ...] | None = None
    extras: Mapping[str, Json] = field(default_factory=dict)


def write_score(entries: Entries, key: str, score: StoredScore, inputs: Json) -> None:
    """Store a score under its key; the first one stays.

    Raises:
        StoreError: If the disk refuses.
    """

    def fill(folder: Path) -> None:
        numbers = io.BytesIO()
        np.savez_compressed(numbers, statistics=np.ascontiguousarray(score.statistics, dtype=np.float64))
        (folder / _NUMBERS).write_bytes(numbers.getvalue())
        texts = _Texts(
            ids=score.ids,
            columns=score.columns,
            value=float(score.value),
            groups=score.groups,
            reference_hashes=score.reference_hashes,
            answers=score.answers,
            extras=score.extras,
        )
        (folder / _TEXTS).write_text(json.dumps(to_json(texts)), encoding="ascii")

    entries.publish(EntryName(kind="scores", key=key), fill, inputs)


def read_score(entries: Entries, key: str) -> StoredScore | None:
    """The score of a key, None when it must be measured; a damaged one is put aside and noted.

    Raises:
        StoreError: If a newer slmcheck wrote it, or the disk refuses.
    """
    name = EntryName(kind="scores", key=key)
    entry = entries.find(name)
    if entry is None:
        return None
    try:
        texts = from_json(_Texts, json.loads((entry.folder / _TEXTS).read_bytes()))
        with np.load(entry.folder / _NUMBERS, allow_pickle=False) as numbers:
            statistics = np.asarray(numbers["statistics"], dtype=np.float64)
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        entries.quarantine(entry.folder, name, str(error))
        return None
    return StoredScore(
        ids=texts.ids,
        columns=texts.columns,
        statistics=statistics,
        value=texts.value,
        groups=texts.groups,
        reference_hashes=texts.reference_hashes,
        answers=texts.answers,
        extras=texts.extras,
    )
