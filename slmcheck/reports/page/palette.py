"""Colours of the page and its charts: each has a light and a dark form, and charts name the light one.

A chart is an SVG whose `fill` and `stroke` are light colours as written here; the style sheet replaces each by its
variable. So the same picture, static or interactive, is legible in both schemes and changes with them at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from slmcheck.records import ShownState


@dataclass(frozen=True, kw_only=True)
class Color:
    """One colour of the page."""

    name: str
    light: str
    dark: str


INK = Color(name="ink", light="#1b2230", dark="#e8eaf0")
MUTED = Color(name="muted", light="#5c6575", dark="#a3abba")
FAINT = Color(name="faint", light="#8d95a3", dark="#7d8696")
RULE = Color(name="rule", light="#e1e4ea", dark="#303745")
PAPER = Color(name="paper", light="#ffffff", dark="#12161e")
PANEL = Color(name="panel", light="#f6f7f9", dark="#1a202b")
ACCENT = Color(name="accent", light="#2c5aa0", dark="#86b0f0")
SECOND = Color(name="second", light="#8a5a9e", dark="#cba3dd")
PASS = Color(name="pass", light="#19704a", dark="#66cc9a")
FAIL = Color(name="fail", light="#b0281f", dark="#ff9088")
INCONCLUSIVE = Color(name="inconclusive", light="#8a5b00", dark="#e8b95a")
ACCEPTED = Color(name="accepted", light="#1f6a8c", dark="#79c4e6")
WAIVED = Color(name="waived", light="#7a3b9c", dark="#d6a3f0")

PALETTE = (INK, MUTED, FAINT, RULE, PAPER, PANEL, ACCENT, SECOND, PASS, FAIL, INCONCLUSIVE, ACCEPTED, WAIVED)
STATES: dict[ShownState, Color] = {
    "pass": PASS,
    "fail": FAIL,
    "inconclusive": INCONCLUSIVE,
    "accepted": ACCEPTED,
    "waived": WAIVED,
    "quarantined": WAIVED,
}


def style_sheet() -> str:
    """The variables of both schemes, and the rules that let charts follow them."""
    light = " ".join(f"--{color.name}: {color.light};" for color in PALETTE)
    dark = " ".join(f"--{color.name}: {color.dark};" for color in PALETTE)
    charts = "\n".join(
        f'.chart [fill="{color.light}"] {{ fill: var(--{color.name}); }}'
        f' .chart [stroke="{color.light}"] {{ stroke: var(--{color.name}); }}'
        for color in PALETTE
    )
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        f"@media print {{ :root {{ color-scheme: light; {light} }} }}\n{charts}\n"
    )
