"""What a verdict or a score was computed from, as files: so that it can be computed again, elsewhere and later.

A document says what was claimed under which policy and whose scores were compared; a table beside it holds what each
example contributed. Texts of examples are in neither. Judging a document again takes the same functions as judging the
first time.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slmcheck import parity
from slmcheck.errors import InputError, SlmcheckError, StoreError
from slmcheck.gates import Evidence, MetricInfo, Score, ScoreSource, Verdict
from slmcheck.gates.claims import ChangeClaim, LevelClaim
from slmcheck.gates.evidence import Measurement
from slmcheck.gates.judge import judge_change, judge_level
from slmcheck.gates.policy import Policy
from slmcheck.metrics import METRICS
from slmcheck.metrics.definition import MEAN_COLUMNS, Array, ValueOfSum, mean_of_sum
from slmcheck.records import Json, from_json, to_json
from slmcheck.records.disclosure import hashed
from slmcheck.storage import Store, digest

DOCUMENT = "verdict.json"
SCHEMA = 1
_TABLE = ".npz"
_POLICY = ("gate", "primary", "inconclusive", "alpha", "margins", "seed_sds")


class NotRecomputableError(InputError):
    """A score is a function of its statistics that only its suite knows: a custom metric of a whole corpus."""


@dataclass
class Tables:
    """Tables of statistics by their name, which is the digest of what they hold; equal ones are kept once."""

    files: dict[str, bytes]

    def add(self, evidence: Evidence, *, private: bool) -> str:
        """Keep the statistics of a score; gives the name of the table.

        Args:
            evidence: What each example contributed.
            private: Whether ids are kept as hashes. Groups always are: only whether two are equal is needed.
        """
        texts = {
            "columns": list(evidence.columns),
            "ids": [hashed(name) for name in evidence.example_ids] if private else list(evidence.example_ids),
            "groups": None if evidence.groups is None else [hashed(name) for name in evidence.groups],
            "references": None if evidence.reference_hashes is None else list(evidence.reference_hashes),
        }
        numbers = np.ascontiguousarray(evidence.statistics, dtype="<f8")
        name = _table_name(texts, numbers)
        if name not in self.files:
            content = io.BytesIO()
            encoded = json.dumps(texts, ensure_ascii=True).encode()
            np.savez_compressed(content, statistics=numbers, texts=np.frombuffer(encoded, dtype=np.uint8))
            self.files[name] = content.getvalue()
        return name


def keep_verdict(verdict: Verdict, store: Store) -> str:
    """Store what a verdict was judged from; gives its key, empty where there is nothing to judge again.

    A store that cannot be written keeps nothing: then the verdict stands without its statistics.
    """
    if verdict.basis is None:
        return ""
    tables = Tables({})
    try:
        document = verdict_document(verdict, tables)
    except NotRecomputableError:
        return ""
    key = key_of(document)
    with suppress(StoreError):
        if not store.has_evidence(key):
            text = (json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()
            store.write_evidence(key, {DOCUMENT: text, **tables.files}, {"run": verdict.record.run_key})
        return key
    return ""


def key_of(document: Json) -> str:
    """The key of a document: it names its tables by their digests, so it covers them."""
    return digest("evidence", document)


def verdict_document(verdict: Verdict, tables: Tables) -> dict[str, Json]:
    """What a verdict was judged from.

    Raises:
        NotRecomputableError: If a score is a function that cannot be named.
    """
    assert verdict.basis is not None
    claim, policy = verdict.basis.claim, verdict.basis.policy
    stated: dict[str, Json] = {"text": claim.text, "strict": claim.strict}
    old: Json = None
    if isinstance(claim, LevelClaim):
        stated |= {"threshold": claim.threshold, "confidence": claim.confidence}
    else:
        stated |= {
            "factor": claim.factor,
            "offset": claim.offset,
            "equivalent_within": claim.equivalent_within,
            "alpha": claim.alpha,
            "must_prove": claim.must_prove,
        }
        old = side_document(claim.old, tables, edited_against=claim.new)
    return {
        "schema": SCHEMA,
        "kind": "level" if isinstance(claim, LevelClaim) else "change",
        "claim": stated,
        "policy": {name: to_json(getattr(policy, name)) for name in _POLICY},
        "new": side_document(claim.new, tables),
        "old": old,
    }


def side_document(side: Measurement, tables: Tables, *, edited_against: Measurement | None = None) -> dict[str, Json]:
    """One score with the names of its tables.

    Args:
        side: The score.
        tables: Where its statistics are kept.
        edited_against: The score whose references count, where those of a baseline may have been edited since.

    Raises:
        NotRecomputableError: If the score is a function that cannot be named.
    """
    metric = side.parts_metric or side.metric
    again = None
    if side.evidence is not None and edited_against is not None and _is_edited(side.evidence, edited_against.evidence):
        again = side.evidence.remeasure() if side.evidence.remeasure is not None else None
    parts = {"evidence": side.evidence, "train": side.train, "again": again}
    return {
        "value": side.value,
        "metric": to_json(side.metric),
        "parts_metric": to_json(side.parts_metric),
        "source": to_json(side.source),
        "known_interval": to_json(side.known_interval),
        "known_count": side.known_count,
        "function": _function_name(side, metric),
        **{
            name: None if found is None else tables.add(found, private=side.source.disclosure.level != "full")
            for name, found in parts.items()
        },
    }


def judge_again(document: Mapping[str, Any], read: Callable[[str], bytes]) -> Verdict:
    """The verdict of a document, judged now.

    Args:
        document: What `verdict_document` gave.
        read: The bytes of a table by its name.

    Raises:
        StoreError: If the document is no such document, or a table is damaged.
        SlmcheckError: If the scores cannot be compared.
    """
    try:
        stated, policy, kind = dict(document["claim"]), dict(document["policy"]), document["kind"]
        new = side_of(document["new"], read)
        settings = from_json(Policy, policy)
        if kind == "level":
            return judge_level(LevelClaim(new=new, **stated), settings)
        old = side_of(document["old"], read)
        return judge_change(ChangeClaim(new=new, old=old, **stated), settings)
    except SlmcheckError:
        raise
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AssertionError) as error:
        raise StoreError(f"a verdict's document is damaged: {type(error).__name__}: {error}") from error


def side_of(document: Mapping[str, Any], read: Callable[[str], bytes]) -> Measurement:
    """A score of a document, its value computed again from its statistics.

    Raises:
        StoreError: If the document or a table is damaged.
    """
    metric = from_json(MetricInfo, document["metric"])
    parts_metric = from_json(MetricInfo, document["parts_metric"]) if document["parts_metric"] is not None else None
    source = from_json(ScoreSource, document["source"])
    function = _function_of(document["function"])
    parts: dict[str, Evidence] = {}
    for name in ("evidence", "train", "again"):
        if document[name] is not None:
            parts[name] = _table(read(document[name]), document[name], function)
    evidence, again = parts.get("evidence"), parts.get("again")
    if evidence is not None and again is not None:
        evidence = replace(evidence, remeasure=lambda: again)
    interval = document["known_interval"]
    value = float(document["value"])
    if evidence is not None and parts_metric is None:
        value = evidence.value
    if evidence is not None and parts_metric is not None and "train" in parts:
        from slmcheck.gates.changes import gap_value

        value = gap_value(parts["train"], evidence, parts_metric)
    return Measurement(
        value=value,
        metric=metric,
        source=source,
        evidence=evidence,
        known_interval=None if interval is None else (float(interval[0]), float(interval[1])),
        known_count=document["known_count"],
        train=parts.get("train"),
        parts_metric=parts_metric,
    )


def score_of(document: Mapping[str, Any], read: Callable[[str], bytes]) -> Score:
    """A score of a document, with its interval.

    Raises:
        StoreError: If the document or a table is damaged.
    """
    try:
        return Score.of(side_of(document, read))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"a score's document is damaged: {type(error).__name__}: {error}") from error


def _table(content: bytes, name: str, function: ValueOfSum) -> Evidence:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            statistics = np.asarray(arrays["statistics"], dtype=np.float64)
            texts = json.loads(arrays["texts"].tobytes())
        columns, groups, references = (
            None if texts[field] is None else tuple(str(item) for item in texts[field])
            for field in ("columns", "groups", "references")
        )
        ids = tuple(str(item) for item in texts["ids"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise StoreError(f"the table {name[:12]} is damaged: {error}") from error
    if _table_name(texts, statistics) != name:
        raise StoreError(f"the table {name[:12]} holds other statistics than its name says")
    return Evidence(
        example_ids=ids,
        statistics=statistics,
        columns=columns or (),
        value_of_sum=function,
        groups=groups,
        reference_hashes=references,
    )


def _table_name(texts: Json, statistics: Array) -> str:
    numbers = np.ascontiguousarray(statistics, dtype="<f8").tobytes()
    return digest("table", [texts, list(statistics.shape), hashlib.sha256(numbers).hexdigest()]) + _TABLE


def _is_edited(old: Evidence, new: Evidence | None) -> bool:
    if new is None or old.reference_hashes is None or new.reference_hashes is None:
        return False
    today = dict(zip(new.example_ids, new.reference_hashes, strict=True))
    then = zip(old.example_ids, old.reference_hashes, strict=True)
    return any(today.get(example_id, reference) != reference for example_id, reference in then)


def _log_mean(sums: Array) -> Array:
    return np.asarray(np.exp(mean_of_sum(sums)))


def _function_name(side: Measurement, metric: MetricInfo) -> str:
    """The name under which `_function_of` finds the function that makes the score of sums.

    Raises:
        NotRecomputableError: If there is none.
    """
    if side.evidence is None:
        return "none"
    names = [f"{side.source.task}:{metric.name}", f"parity:{metric.name}"]
    if side.evidence.columns == MEAN_COLUMNS:
        names += ["mean", "log mean"]
    # Two sums tell functions apart that agree on one of them.
    sums = [
        side.evidence.statistics.sum(axis=0),
        side.evidence.statistics[: max(1, len(side.evidence) // 2)].sum(axis=0),
    ]
    for name in names:
        with suppress(StoreError), np.errstate(all="ignore"):
            function = _function_of(name)
            with suppress(IndexError, ValueError, TypeError):
                pairs = [(function(found), side.evidence.value_of_sum(found)) for found in sums]
                if all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in pairs):
                    return name
    raise NotRecomputableError(f"{side.label} is a function of its statistics that only its suite knows.")


def _function_of(name: object) -> ValueOfSum:
    """The function of a name.

    Raises:
        StoreError: If there is none of that name.
    """
    if name in ("none", "mean"):
        return mean_of_sum
    if name == "log mean":
        return _log_mean
    place, _, metric = str(name).partition(":")
    if place == "parity" and metric in parity.SCORES:
        found = parity.SCORES[metric].value_of_sum
    else:
        known = METRICS.get(place, {}).get(metric)  # type: ignore[call-overload]
        found = None if known is None else known.value_of_sum
    if found is None:
        raise StoreError(f"no metric of this slmcheck is called '{name}'")
    return found
