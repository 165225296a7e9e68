"""Which named subsets of a split a row belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from slmcheck.data.templates import text_of
from slmcheck.records import Json, SlicePredicate


def slices_of(row: Mapping[str, Json], predicates: Mapping[str, SlicePredicate]) -> tuple[str, ...]:
    """The names of all slices that hold the row, in the recipe's order."""
    return tuple(name for name, predicate in predicates.items() if holds(predicate, row))


def holds(predicate: SlicePredicate, row: Mapping[str, Json]) -> bool:
    """Whether all conditions of a slice hold for a row; a row without the field is in no slice."""
    if predicate.field not in row:
        return False
    value = row[predicate.field]
    if predicate.equals is not None and not _same(value, predicate.equals):
        return False
    if predicate.is_in is not None and not any(_same(value, item) for item in predicate.is_in):
        return False
    if predicate.matches is not None and re.search(predicate.matches, text_of(value)) is None:
        return False
    return _words_fit(predicate, value) and _number_fits(predicate, value)


def _same(value: Json, wanted: Json) -> bool:
    # A CSV holds every value as text, so that 5 in a recipe means '5' there.
    return value == wanted or (isinstance(value, str) != isinstance(wanted, str) and text_of(value) == text_of(wanted))


def _words_fit(predicate: SlicePredicate, value: Json) -> bool:
    if predicate.min_words is None and predicate.max_words is None:
        return True
    words = len(text_of(value).split())
    return (predicate.min_words or 0) <= words and (predicate.max_words is None or words <= predicate.max_words)


def _number_fits(predicate: SlicePredicate, value: Json) -> bool:
    if predicate.min is None and predicate.max is None:
        return True
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return (predicate.min is None or number >= predicate.min) and (predicate.max is None or number <= predicate.max)
