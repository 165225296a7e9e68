from __future__ import annotations

import pytest

from slmcheck.reports.page.palette import ACCENT, FAINT, INK, MUTED, PALETTE, PANEL, PAPER, STATES, Color, style_sheet


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", [PAPER, PANEL])
@pytest.mark.parametrize("color", [INK, MUTED, ACCENT, *STATES.values()])
def test_text_is_legible_in_both_schemes(color: Color, ground: Color) -> None:
    assert contrast(color.light, ground.light) >= 4.5
    assert contrast(color.dark, ground.dark) >= 4.5


def test_lines_of_charts_are_visible_in_both_schemes() -> None:
    assert min(contrast(FAINT.light, PAPER.light), contrast(FAINT.dark, PAPER.dark)) >= 3


def test_each_light_colour_is_one_colour_so_that_charts_can_be_recoloured() -> None:
    assert len({color.light for color in PALETTE}) == len(PALETTE)


def test_charts_follow_the_scheme() -> None:
    sheet = style_sheet()
    assert "@media (prefers-color-scheme: dark)" in sheet
    assert all(f'[stroke="{color.light}"] {{ stroke: var(--{color.name}); }}' in sheet for color in PALETTE)
