from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from slmcheck.records import Report
from slmcheck.reports.charts import Figure, heat_map, javascript, loss_curves, static_svg, verdict_intervals
from slmcheck.reports.charts.figure import specification
from slmcheck.reports.page.palette import PALETTE


def figures(report: Report) -> list[Figure]:
    run = report.runs[0]
    loss = loss_curves(run, "a")
    assert loss is not None
    assert run.confusion is not None
    return [loss, heat_map(run.confusion, "b"), *verdict_intervals(report)]


def test_a_picture_is_well_formed_scales_and_loads_nothing(report: Report) -> None:
    for figure in figures(report):
        picture = static_svg(figure)
        root = ElementTree.fromstring(picture)
        assert root.get("viewBox")
        assert root.get("width") is None
        assert not re.search(r"href|url\(|<script|<image|<style", picture)


def test_every_colour_of_a_picture_is_in_the_palette(report: Report) -> None:
    known = {color.light for color in PALETTE} | {"none", "transparent"}
    for figure in figures(report):
        assert set(re.findall(r'(?:fill|stroke)="([^"]*)"', static_svg(figure))) <= known


def test_hostile_text_in_a_picture_is_text(hostile_report: Report) -> None:
    for figure in figures(hostile_report):
        picture = static_svg(figure)
        assert "<script" not in picture
        assert "<img" not in picture
        assert ElementTree.fromstring(picture) is not None


def test_a_specification_names_no_address(report: Report) -> None:
    for figure in figures(report):
        assert "http" not in str(figure.spec)
        assert "width" not in figure.spec


def test_the_script_cannot_end_its_element() -> None:
    script = javascript()
    assert not re.search(r"</script|<!--", script, re.IGNORECASE)
    assert "window.slmcheckEmbed" in script


@pytest.mark.parametrize("field", ["title", "message"])
def test_every_figure_says_what_it_shows(report: Report, field: str) -> None:
    assert all(getattr(figure, field) and figure.tables for figure in figures(report))


def test_characters_that_xml_has_not_do_not_reach_the_drawing_library() -> None:
    import altair as alt

    chart = alt.layer(alt.Chart(alt.InlineData(values=[{"a": "\x1b\ufffe"}])).mark_text().encode(text="a:N"))
    spec = specification(chart.properties(title="\x00"))
    assert "\\x1b" in static_svg(Figure(name="a", title="", message="", spec=spec, tables=()))
