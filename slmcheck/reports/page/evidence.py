"""The evidence of one run on the page: facts, findings, charts with their tables, scores, parity."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.records import RunReport
from slmcheck.reports import charts, units
from slmcheck.reports.charts.figure import Figure
from slmcheck.reports.page.elements import Html, data_table, disclosure, element, trusted
from slmcheck.reports.page.findings import diagnosis_section
from slmcheck.reports.rows import facts, score_name, score_rows, settings
from slmcheck.reports.text import block, one_line

_SHORT_FACTS = ("base model", "trainer", "rows", "steps", "time", "trained on")


def run_figures(run: RunReport, name: str) -> tuple[Figure, ...]:
    """The charts of a run; `name` makes their names unique in the page."""
    loss = charts.loss_curves(run, name)
    found = [loss] if loss is not None else []
    found += charts.usage_over_time(run, name)
    found += charts.gap_intervals(run, name)
    found += [plot for one in run.locations if (plot := charts.error_plot(one, name)) is not None]
    if run.confusion is not None and run.confusion.labels:
        found.append(charts.heat_map(run.confusion, f"{name}-confusion"))
    found += charts.slice_scores(run, name)
    return (*found, *charts.diagnosis_figures(run, name), *charts.study_figures(run, name), *charts.trend(run, name))


def figure_grid(drawn: Sequence[Figure]) -> Html:
    """Charts side by side where there is room."""
    return element("div", *(_figure(figure) for figure in drawn), class_="figures") if drawn else Html("")


def evidence_section(run: RunReport, drawn: Sequence[Figure], index: int) -> Html:
    """Everything the page says of one run."""
    parts = [element("h2", one_line(run.name)), _facts(run)]
    parts += [element("p", one_line(note), class_="note") for note in run.notes]
    if run.selected_on_evaluation:
        parts.append(
            element("p", "The evaluation rows also selected the checkpoint: scores are optimistic.", class_="note")
        )
    parts += diagnosis_section(run.findings, run.name)
    parts.append(figure_grid(drawn))
    parts += [_scores(run)] if run.scores else []
    parts += [_parity(run)] if run.parity else []
    if run.rendered_row:
        row = element("pre", block(run.rendered_row, 4000))
        parts.append(disclosure("One training row as the model sees it; what it learns stands between [[ and ]]", row))
    if run.hyperparameters:
        parts.append(
            disclosure(
                "Recipe", data_table("Training fields of the recipe", ("field", "value"), settings(run), words=(0, 1))
            )
        )
    return element("section", *parts, id=f"run-{index}", class_="run")


def _figure(figure: Figure) -> Html:
    picture = element("div", trusted(charts.static_svg(figure)), class_="still", aria_hidden="true")
    chart = element(
        "div",
        picture,
        class_="chart",
        role="img",
        aria_label=f"{figure.title}. {figure.message}",
        data_chart=figure.name,
    )
    tables = [data_table(table.caption, table.header, table.rows, words=table.text_columns) for table in figure.tables]
    caption = element("figcaption", element("h3", figure.title), element("p", figure.message))
    data = disclosure("Data of this chart", *tables)
    return element("figure", caption, chart, data, class_="wide" if figure.wide else "narrow")


def _facts(run: RunReport) -> Html:
    known = facts(run)
    pairs = [element("div", element("dt", word), element("dd", value)) for word, value in known if word in _SHORT_FACTS]
    rest = [(word, value) for word, value in known if word not in _SHORT_FACTS]
    more = disclosure("More facts", data_table("Facts of the run", ("fact", "value"), rest, words=(0, 1)))
    return element("div", element("dl", *pairs, class_="facts"), more)


def _scores(run: RunReport) -> Html:
    rows = score_rows(run)
    trivial = list(dict.fromkeys(name for row in rows for name, _ in row.trivial))
    table = []
    for row in rows:
        score, others = row.score, dict(row.trivial)
        beside = [row.base, *(others.get(name) for name in trivial)]
        cells = [score_name(score), units.value(score.value, score.unit)]
        cells.append(units.interval(score.low, score.high, score.unit))
        cells += ["" if other is None else units.value(other.value, other.unit) for other in beside]
        table.append((*cells, f"{score.n:,}", one_line(score.split)))
    header = ("score", "run", "95 % interval", "base model", *(one_line(name) for name in trivial), "examples", "split")
    return data_table("Scores", header, table, words=(0, len(header) - 1))


def _parity(run: RunReport) -> Html:
    rows = [
        (
            score_name(score),
            units.value(score.value, score.unit),
            units.interval(score.low, score.high, score.unit),
            f"{score.n:,}",
        )
        for score in run.parity
    ]
    return data_table("Parity of exports with the checkpoint", ("score", "value", "95 % interval", "examples"), rows)
