"""Scores of earlier releases as one line a metric: the trend in words, for the terminal and for Markdown."""

from __future__ import annotations

from slmcheck.records import RunReport
from slmcheck.reports import units
from slmcheck.reports.text import one_line

SHOWN_RELEASES = 5
_LABEL_CHARACTERS = 16


def trend_lines(run: RunReport) -> tuple[str, ...]:
    """A line a metric, oldest release first: `accuracy: 0.842 (1.0), 0.861 (1.1), 0.870 now: +2.8 points`."""
    found = []
    for metric in dict.fromkeys(point.metric for point in run.trend):
        past = [point for point in run.trend if point.metric == metric]
        parts = [
            f"{units.value(point.value, point.unit)} ({one_line(point.label, _LABEL_CHARACTERS)})" for point in past
        ]
        if len(parts) > SHOWN_RELEASES:
            parts = [parts[0], "…", *parts[1 - SHOWN_RELEASES :]]
        now = next((score for score in run.scores if score.metric == metric and not score.slice), None)
        change = ""
        if now is not None:
            parts.append(f"{units.value(now.value, now.unit)} now")
            moved = units.change(now.value - past[0].value, now.unit)
            change = f": {moved} since {one_line(past[0].label, _LABEL_CHARACTERS)}"
        found.append(f"{one_line(metric)} {', '.join(parts)}{change}")
    return tuple(found)
