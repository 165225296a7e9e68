"""What changed since the accepted baseline: recipe, rows, libraries, and the answers that users would notice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from slmcheck import recipes
from slmcheck.data import training_digest
from slmcheck.evaluation.run import Run
from slmcheck.metrics import reference_hash
from slmcheck.records import Example, ExampleEvidence, Json, to_json
from slmcheck.storage import Baseline as BaselineFile
from slmcheck.storage import BaselineExample, answer_hash, digest

_SHOWN_CHARACTERS = 60
_HIT_TABLES = ("accuracy", "exact_match")
"""Metrics whose statistics say of an example that it was right; the first that a baseline has is read."""


def recipe_fields(run: Run) -> Mapping[str, Json]:
    """The fields of a run's recipe that a reader is told about when one of them changes."""
    return {"base_model": run.recipe.base_model, **recipes.describe(run.recipe)}


def data_rows(run: Run) -> Mapping[str, int]:
    """Rows by split; a split without rows is left out."""
    return {name: len(rows) for name, rows in _splits(run) if rows}


def data_digests(run: Run) -> Mapping[str, str]:
    """Digest of the rows of each split: what is asked and what counts as right, in any order; 16 hex digits."""
    return {
        name: digest(
            "rows", sorted(f"{training_digest(row, run.recipe)} {reference_hash(row.references)}" for row in rows)
        )[:16]
        for name, rows in _splits(run)
        if rows
    }


def changes_since(run: Run, accepted: BaselineFile) -> tuple[str, ...]:
    """What differs between a run and the accepted baseline, one sentence each; nothing for the accepted run itself.

    Args:
        run: The run of a report.
        accepted: The committed baseline of its recipe.
    """
    header = accepted.header
    found = [*_rows_changed(run, accepted)]
    if header.recipe:
        found += _fields_changed(header.recipe, recipe_fields(run))
    elif header.run_key != run.key:
        found.append("The baseline is of an earlier slmcheck and does not say what its recipe and training rows were.")
    before, now = header.environment, run.environment
    if header.run_key != run.key:
        names = dict.fromkeys([*before.versions, *now.versions])
        found += [
            f"{name}: {before.versions.get(name, 'not there')} → {now.versions.get(name, 'not there')}."
            for name in names
            if before.versions.get(name) != now.versions.get(name)
        ]
        for word, old, new in (("device", before.device, now.device), ("dtype", before.dtype, now.dtype)):
            found += [f"{word}: {old} → {new}."] if old != new else []
    return tuple(found)


def with_old_answers(
    examples: Iterable[ExampleEvidence], accepted: BaselineFile, *, split: str
) -> tuple[ExampleEvidence, ...]:
    """Examples with what the accepted run answered, as far as the baseline kept it.

    A private baseline keeps hashes: an answer that stayed is then shown, of one that changed only whether it was right.

    Args:
        examples: Examples of one split.
        accepted: The committed baseline.
        split: The split they are of.
    """
    known = {item.id: item for item in accepted.examples if item.split == split and not item.variant}
    table = next((score.table for name in _HIT_TABLES if (score := accepted.find(name, split=split)) is not None), "")
    return tuple(
        _with_old(example, known[example.id], table, private=accepted.header.private)
        if example.id in known
        else example
        for example in examples
    )


def _with_old(example: ExampleEvidence, old: BaselineExample, table: str, *, private: bool) -> ExampleEvidence:
    before = old.answer
    if private and before is not None:
        before = example.answer if before == answer_hash(example.answer) else None
    statistics = old.statistics.get(table)
    was_right = None if statistics is None else _hit(statistics)
    if before == example.answer and example.correct is not None:
        was_right = example.correct  # the same answer by today's references, which may be others
    return replace(example, old_answer=before, old_correct=was_right)


def _hit(statistics: Mapping[str, float]) -> bool | None:
    """Whether a mean of zeros and ones counts the example; None for the share of several seeds."""
    if statistics.get("count", 1) != 1:
        return None
    return {0.0: False, 1.0: True}.get(statistics.get("sum", 0.0))


def _rows_changed(run: Run, accepted: BaselineFile) -> list[str]:
    header, evaluated = accepted.header, run.splits.evaluation_split(run.recipe)
    found = _evaluation_changed(run, accepted, evaluated)
    rows, digests = data_rows(run), data_digests(run)
    for name in dict.fromkeys([*header.data, *(rows if header.data else ())]):
        if (name == evaluated and found) or header.data_digests.get(name) == digests.get(name):
            continue
        before, now = header.data.get(name, 0), rows.get(name, 0)
        if before == now:
            found.append(f"{name} rows: still {now:,}, but not the same ones.")
        else:
            found.append(f"{name} rows: {before:,} → {now:,}.")
    return found


def _evaluation_changed(run: Run, accepted: BaselineFile, split: str) -> list[str]:
    """The evaluation rows one by one, which the baseline knows by their ids."""
    old = {item.id: item.reference for item in accepted.examples if item.split == split and not item.variant}
    if not old:
        return []
    new = {example.id: reference_hash(example.references) for example in run.examples()}
    added, removed = len(new.keys() - old.keys()), len(old.keys() - new.keys())
    relabelled = sum(old[name] is not None and old[name] != new[name] for name in old.keys() & new.keys())
    parts = [
        f"{count:,} {word}"
        for count, word in ((added, "added"), (removed, "removed"), (relabelled, "with another reference"))
        if count
    ]
    return [f"{split} rows: {', '.join(parts)}."] if parts else []


def _fields_changed(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[str]:
    return [
        f"{name}: {_text(old, name)} → {_text(new, name)}."
        for name in dict.fromkeys([*old, *new])
        if to_json(old.get(name)) != to_json(new.get(name))
    ]


def _text(fields: Mapping[str, Json], name: str) -> str:
    if name not in fields:
        return "default"
    value = fields[name]
    text = value if isinstance(value, str) else json.dumps(to_json(value), ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _splits(run: Run) -> tuple[tuple[str, tuple[Example, ...]], ...]:
    splits = run.splits
    return (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
