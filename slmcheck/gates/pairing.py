"""Which examples of two scores are compared, and whether as pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slmcheck.errors import BaselineMismatchError
from slmcheck.gates.evidence import Evidence, Measurement

LEAST_OVERLAP = 0.80


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Two evidences, aligned row by row where `paired`."""

    new: Evidence
    old: Evidence
    paired: bool
    design: str
    notes: tuple[str, ...] = ()


def pair(new: Measurement, old: Measurement) -> Pairing:
    """Align the examples of two scores.

    The same examples are paired. A slice and the split that contains it are compared as slice and complement. Sets
    that share 80 % are paired on what they share. Other sets are compared unpaired, unless one is a baseline.

    Raises:
        BaselineMismatchError: If a baseline shares fewer than 80 % of the examples, or the references of shared
            examples were edited and cannot be measured again.
    """
    assert new.evidence is not None
    assert old.evidence is not None
    first, second = new.evidence, old.evidence
    common = first.position.keys() & second.position.keys()
    if len(common) == len(first) == len(second):
        return _paired(new, old, first, second, ())
    if new.source.slice != old.source.slice and len(common) in (len(first), len(second)):
        return _against_complement(first, second, common)
    larger = max(len(first), len(second))
    if len(common) >= LEAST_OVERLAP * larger:
        note = f"compared on the {len(common)} examples that both have (of {len(first)} and {len(second)})"
        return _paired(new, old, first, second, (note,))
    if (new.source.is_baseline or old.source.is_baseline) and new.source.slice == old.source.slice:
        raise BaselineMismatchError(
            f"{new.label} and {old.label} share {len(common)} of {larger} examples.\n"
            f"The scores have {len(first)} and {len(second)} examples; a baseline needs 80 % in common.\n"
            f"If the evaluation data changed on purpose: slmcheck baseline accept {_run_name(new, old)}"
        )
    note = f"the scores share {len(common)} of {len(first)} and {len(second)} examples: compared unpaired"
    return Pairing(new=first, old=second, paired=False, design=_sizes(first, second), notes=(note,))


def _run_name(new: Measurement, old: Measurement) -> str:
    return old.source.name if new.source.is_baseline else new.source.name


def _sizes(new: Evidence, old: Evidence) -> str:
    return f"unpaired, n={len(new)} and {len(old)}"


def _paired(new: Measurement, old: Measurement, first: Evidence, second: Evidence, notes: tuple[str, ...]) -> Pairing:
    shared = [example_id for example_id in first.example_ids if example_id in second.position]
    edited = _edited(first, second, shared)
    if edited:
        first, second = _measured_again(new, old, first, second, edited)
        notes = (*notes, f"references of {len(edited)} examples were edited: the baseline was measured again")
    if tuple(shared) != first.example_ids:
        first = first.take(np.array([first.position[example_id] for example_id in shared], dtype=np.intp))
    if tuple(shared) != second.example_ids:
        second = second.take(np.array([second.position[example_id] for example_id in shared], dtype=np.intp))
    return Pairing(new=first, old=second, paired=True, design=f"paired, n={len(shared)}", notes=notes)


def _edited(first: Evidence, second: Evidence, shared: list[str]) -> list[str]:
    if first.reference_hashes is None or second.reference_hashes is None:
        return []
    return [
        example_id
        for example_id in shared
        if first.reference_hashes[first.position[example_id]] != second.reference_hashes[second.position[example_id]]
    ]


def _measured_again(
    new: Measurement, old: Measurement, first: Evidence, second: Evidence, edited: list[str]
) -> tuple[Evidence, Evidence]:
    """Both evidences against today's references, the baseline's from its stored answers."""
    updated = []
    for side, evidence in ((new, first), (old, second)):
        again = evidence.remeasure() if side.source.is_baseline and evidence.remeasure is not None else None
        updated.append(again if again is not None else evidence)
    shared = [example_id for example_id in updated[0].example_ids if example_id in updated[1].position]
    if not _edited(updated[0], updated[1], shared):
        return updated[0], updated[1]
    more = f" and {len(edited) - 3} more" if len(edited) > 3 else ""
    raise BaselineMismatchError(
        f"The references of {len(edited)} examples differ between {new.label} and {old.label}.\n"
        f"Edited: {', '.join(edited[:3])}{more}.\n"
        f"{new.metric.name} cannot be measured again from stored answers alone.\n"
        f"Accept the scores with the edited references: slmcheck baseline accept {_run_name(new, old)}"
    )


def _against_complement(first: Evidence, second: Evidence, common: set[str]) -> Pairing:
    """A slice against the rest of the split that contains it: the slice itself cannot differ from itself."""
    contained_first = len(common) == len(first)
    container = second if contained_first else first
    rest = container.take(
        np.array([row for row, key in enumerate(container.example_ids) if key not in common], dtype=np.intp)
    )
    first, second = (first, rest) if contained_first else (rest, second)
    return Pairing(
        new=first,
        old=second,
        paired=False,
        design=_sizes(first, second),
        notes=(f"a slice and the split that contains it: compared with the other {len(rest)} examples",),
    )
