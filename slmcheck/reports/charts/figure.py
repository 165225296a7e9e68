"""What a chart is to the page, and how specifications become pictures and scripts.

This is where altair and vl_convert are reached: inside the functions that need them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from slmcheck.records import Json
from slmcheck.reports.page.palette import INK, MUTED, RULE
from slmcheck.reports.text import visible

if TYPE_CHECKING:
    import altair as alt

WIDTH = 460
"""Pixels of a static chart; an interactive one takes the width of its place."""


FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif'
"""The font of the page, so that a browser measures the texts of a chart as it will draw them."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of finished texts."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The first cell of a row names it."""
    text_columns: tuple[int, ...] = (0,)
    """Columns that hold words; the others hold numbers."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One chart: what it says in a sentence, its specification, and its data as tables."""

    name: str
    """Unique in the page; letters, digits and dashes."""
    title: str
    message: str
    """The sentence that a reader should take away; also the text for a screen reader."""
    spec: Mapping[str, Json]
    """Vega-Lite, without a width."""
    tables: tuple[Table, ...]
    wide: bool = False
    """Takes a whole row of the page."""


def specification(chart: alt.LayerChart | alt.FacetChart) -> dict[str, Json]:
    """The Vega-Lite specification of an Altair chart in the style of the page, without its schema address."""
    styled = (
        chart.configure(
            background="transparent",
            font=FONT,
            autosize={"type": "fit-x", "contains": "padding"},
            aria=False,  # the sentence and the table beside a chart say it better than its marks would
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=MUTED.light,
            titleColor=MUTED.light,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=8,
            gridColor=RULE.light,
            domain=False,
            tickColor=RULE.light,
            labelPadding=6,
        )
        .configure_text(color=INK.light, fontSize=12)
        .configure_legend(
            labelColor=INK.light,
            labelFontSize=12,
            title=None,
            orient="top",
            symbolStrokeWidth=2,
            offset=4,
            rowPadding=4,
        )
    )
    spec: dict[str, Json] = styled.to_dict()
    return {key: _drawable(value) for key, value in spec.items() if key not in ("$schema", "width")}


def _drawable(value: Json) -> Json:
    """The value as JSON and XML can hold it: a character that XML has not makes vl_convert end the whole process."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(key): _drawable(item) for key, item in value.items()}
    return [_drawable(item) for item in value] if isinstance(value, Sequence) else value


def static_svg(figure: Figure) -> str:
    """The chart as an SVG element that scales with its place and loads nothing."""
    import vl_convert

    picture: str = vl_convert.vegalite_to_svg(
        json.dumps({**figure.spec, "width": WIDTH}), vl_version=_vega_lite_version(), allowed_base_urls=[]
    )
    head, rest = picture[picture.index("<svg") :].split(">", 1)
    return re.sub(r' (?:width|height)="[^"]*"', "", head) + ">" + rest


@lru_cache(maxsize=1)
def javascript() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that sets `window.slmcheckEmbed`, with no end tag inside."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.slmcheckEmbed = vegaEmbed;", vl_version=_vega_lite_version())
    return re.sub(r"<(/script|!--)", r"<\\\1", bundle, flags=re.IGNORECASE)


def _vega_lite_version() -> str | None:
    """The version whose schema altair writes, where vl_convert has it; None for vl_convert's newest."""
    import altair as alt
    import vl_convert

    wanted = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return wanted if wanted in vl_convert.get_vegalite_versions() else None
