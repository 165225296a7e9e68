"""Metrics of answers that must keep a rule: a length, a pattern, words that must or must not occur.

Each is made for a suite: `run.measure(within(words=(1, 20))) >= 0.99`. The score is the share of answers that keep the
rule; 0..1, higher is better.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from slmcheck.errors import InputError
from slmcheck.metrics.definition import Metric
from slmcheck.metrics.structured import share_of_answers
from slmcheck.records import Prediction

Range = tuple[int | None, int | None]


def within(
    *, words: Range | None = None, characters: Range | None = None, lines: Range | None = None, name: str = "within"
) -> Metric:
    """The share of answers of a length.

    Args:
        words: Least and most words, parted by white space; None leaves an end open.
        characters: Least and most characters, surrounding white space excluded.
        lines: Least and most lines that are not blank.
        name: How the metric is called in verdicts and reports.

    Raises:
        InputError: If no range is given, or one is empty.
    """
    ranges = {"words": words, "characters": characters, "lines": lines}
    given = {unit: limits for unit, limits in ranges.items() if limits is not None}
    if not given:
        raise InputError("within() has no range.\nGive one: within(words=(1, 20)), within(characters=(None, 280)).")
    for unit, (low, high) in given.items():
        if low is not None and high is not None and low > high:
            raise InputError(f"within({unit}=({low}, {high})) is an empty range.\nThe first number is the least.")

    def keeps(item: Prediction) -> bool:
        text = (item.prediction or "").strip()
        sizes = {
            "words": len(text.split()),
            "characters": len(text),
            "lines": sum(bool(line.strip()) for line in text.splitlines()),
        }
        return all(
            (low is None or sizes[unit] >= low) and (high is None or sizes[unit] <= high)
            for unit, (low, high) in given.items()
        )

    rule = ",".join(f"{unit}:{low}..{high}" for unit, (low, high) in given.items())
    return share_of_answers(
        name, keeps, signature=f"within|{rule}|version:1", description=f"Share of answers within {rule}."
    )


def matches(pattern: str, *, name: str = "matches") -> Metric:
    """The share of answers that a regular expression matches in full, surrounding white space excluded.

    Raises:
        InputError: If the pattern is none.
    """
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise InputError(f"matches({pattern!r}) has no regular expression: {error}.") from error
    return share_of_answers(
        name,
        lambda item: compiled.fullmatch((item.prediction or "").strip()) is not None,
        signature=f"matches|{pattern}|version:1",
        description="Share of answers that the pattern matches; 0..1, higher is better.",
    )


def mentions(*texts: str, name: str = "mentions") -> Metric:
    """The share of answers in which each of some texts occurs, upper and lower case alike.

    Raises:
        InputError: If no text is given.
    """
    return _occurrence("mentions", texts, name, wanted=True, meaning="mention all the texts")


def avoids(*texts: str, name: str = "avoids") -> Metric:
    """The share of answers in which none of some texts occurs, upper and lower case alike.

    Raises:
        InputError: If no text is given.
    """
    return _occurrence("avoids", texts, name, wanted=False, meaning="avoid all the texts")


def _occurrence(function: str, texts: Sequence[str], name: str, *, wanted: bool, meaning: str) -> Metric:
    if not texts or not all(text.strip() for text in texts):
        raise InputError(f"{function}() needs texts that are not empty: {function}('refund').")
    folded = [text.casefold() for text in texts]

    def keeps(item: Prediction) -> bool:
        answer = (item.prediction or "").casefold()
        return all((text in answer) == wanted for text in folded)

    return share_of_answers(
        name,
        keeps,
        signature=f"{function}|{json.dumps(texts)}|version:1",  # as JSON, so that no text runs into the next
        description=f"Share of answers that {meaning}; 0..1, higher is better.",
    )
