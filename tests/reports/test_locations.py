from __future__ import annotations

from dataclasses import replace

from slmcheck.records import Exclusion, Location, ModuleError, Report
from slmcheck.reports import html, terminal
from slmcheck.reports.charts import error_plot
from slmcheck.reports.locations import bars, location_text


def error(
    module: str, layer: int | None, isolated: float | None, running: float, *, guilty: bool = False
) -> ModuleError:
    return ModuleError(
        module=module, layer=layer, isolated=isolated, cumulative=running, at="rows padded left" * guilty, guilty=guilty
    )


FOUND = Location(
    run="s/r",
    precision="fp32",
    outcome="module",
    sentence="model.layers.1.mlp.act_fn is 0.05 off with PyTorch's own inputs.",
    evidence=("weights: 21 of 21 parameters equal bit for bit",),
    modules=("model.layers.1.mlp.act_fn",),
    errors=(
        error("model.embed_tokens", None, 0.0, 0.0),
        error("model.layers.0.mlp.act_fn", 0, 1e-7, 1e-7),
        error("model.layers.1.mlp.act_fn", 1, 0.05, 0.05, guilty=True),
        error("model.layers.2.mlp.act_fn", 2, 2e-7, 0.3),
        error("lm_head", None, 0.0, 1.0),
    ),
)


def test_bars_stand_over_the_layers_and_mark_the_guilty_one():
    assert bars(FOUND)[:4] == [
        "             in  L0  L1  L2 out",
        "  isolated    ▁   ▂   ▇   ▂   ▁",
        "  running     ▁   ▂   ▇   █   █",
        "                      ^",
    ]


def test_a_place_without_a_number_is_marked():
    broken = replace(FOUND, errors=(error("lm_head", None, None, 1.0, guilty=True),))
    assert bars(broken)[1].split() == ["isolated", "!"]


def test_the_text_lists_guilty_places_and_measured_exclusions():
    control = Exclusion(modules=("c",), kl=0.0091, is_control=True)
    text = location_text(replace(FOUND, kl=0.0093, exclusions=(Exclusion(modules=("a", "b"), kl=0.0046), control)))
    assert text.startswith("model.layers.1.mlp.act_fn is 0.05 off")
    assert "model.layers.1.mlp.act_fn       0.05  rows padded left" in text
    assert "0.0046    a, b" in text
    assert "0.0091    c (control: the smallest isolated errors)" in text


def test_the_plot_has_every_place_and_its_sentence():
    figure = error_plot(FOUND, "run-0")
    assert figure is not None
    assert figure.message == FOUND.sentence
    assert [row[0] for row in figure.tables[0].rows] == [one.module for one in FOUND.errors]
    assert error_plot(replace(FOUND, errors=()), "run-0") is None


def test_page_and_terminal_show_the_location(report: Report):
    located = replace(report, runs=(replace(report.runs[0], locations=(FOUND,)), *report.runs[1:]))
    page = html.render(located)
    assert "Where the fp32 export departs" in page
    assert "fp32: model.layers.1.mlp.act_fn is 0.05 off" in " ".join(terminal.render(located, 200, False).split())
