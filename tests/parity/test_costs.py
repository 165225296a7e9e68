"""Costs are scores with the place where they were measured; sizes are exact, times are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slmcheck.errors import PredictionError, UnknownMetricError
from slmcheck.gates import ScoreSource
from slmcheck.parity import COSTS, Costs, cost, measure_costs
from slmcheck.parity.costs import ROUNDS, STEPS, Measured
from slmcheck.records import Checkpoint

SOURCE = ScoreSource(name="lora.onnx(int8)")
MODEL = Measured(
    load_ms=(30.0, 20.0, 40.0),
    first_token_ms=(8.0, 8.0, 32.0, 32.0),
    token_ms=tuple([4.0] * STEPS + [8.0] * STEPS),
    peak_memory_bytes=400,
    size_bytes=1000,
)
GRAPH = Measured(
    load_ms=(3.0, 1.0, 2.0),
    first_token_ms=(4.0, 4.0, 8.0, 8.0),
    token_ms=tuple([2.0] * STEPS + [4.0] * (STEPS - 1) + [90.0]),
    peak_memory_bytes=100,
    size_bytes=250,
)
MADE = Costs(reference=MODEL, other=GRAPH, processor="Some CPU", versions={"onnxruntime": "1.32"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size_bytes", 250.0),
        ("size_ratio", 0.25),
        ("load_ms", 2.0),
        ("first_token_ms", 6.0),
        ("latency_ms", 3.0),
        ("speedup", 2.0),  # both rounds twice as fast by their medians
        ("first_token_speedup", 8.0**0.5),  # geometric mean of 2, 2, 4, 4
        ("peak_memory_bytes", 100.0),
    ],
)
def test_each_number_by_hand(name, value):
    assert float(cost(name, MADE, SOURCE)) == pytest.approx(value)


def test_the_95th_percentile_sees_the_slow_step_that_the_median_hides():
    assert float(cost("latency_p95_ms", MADE, SOURCE)) > 20
    assert cost("latency_ms", MADE, SOURCE).interval == (2.0, 4.0)


def test_a_speedup_has_an_interval_of_its_rounds():
    low, high = cost("first_token_speedup", MADE, SOURCE).interval
    assert low < 8.0**0.5 < high
    assert cost("first_token_speedup", MADE, SOURCE).n == 4


def test_a_size_is_exact_and_the_same_everywhere_while_a_time_belongs_to_its_machine():
    elsewhere = replace(MADE, processor="Other CPU")
    sizes = [cost("size_bytes", made, SOURCE).metric for made in (MADE, elsewhere)]
    assert sizes[0].exact
    assert sizes[0].signature == sizes[1].signature
    times = [cost("latency_ms", made, SOURCE) for made in (MADE, elsewhere)]
    assert times[0].metric.signature != times[1].metric.signature
    assert times[0].source.notes == ("measured on Some CPU, 1 thread, onnxruntime 1.32",)


def test_costs_are_gates_like_any_score():
    assert cost("size_bytes", MADE, SOURCE) <= 300
    assert not cost("size_bytes", MADE, SOURCE) <= 200
    assert cost("speedup", MADE, SOURCE) >= 1.2


def test_an_unknown_cost_names_the_known_ones():
    with pytest.raises(UnknownMetricError, match=f"There are: {', '.join(COSTS)}"):
        cost("latency", MADE, SOURCE)


def test_without_prompts_nothing_is_measured(tmp_path):
    checkpoint = Checkpoint(kind="model", path=tmp_path, key="k")
    with pytest.raises(PredictionError, match="there are none"):
        measure_costs(checkpoint, checkpoint, [], load_reference=lambda: None, size_bytes=1, reference_bytes=1)


@pytest.mark.slow
def test_a_graph_and_its_model_are_measured_in_turn(exported_model):
    from slmcheck.backends import load

    model = Checkpoint(kind="model", path=exported_model[0], key="m")
    graph = Checkpoint(kind="onnx", path=exported_model[1], key="g")
    prompts = [[1, 50, 60, 70], [1, 9, 8, 7, 6, 5]]
    found = measure_costs(model, graph, prompts, load_reference=lambda: load(model), size_bytes=10, reference_bytes=20)
    for measured in (found.reference, found.other):
        assert (len(measured.first_token_ms), len(measured.token_ms)) == (ROUNDS, ROUNDS * STEPS)
        assert min(*measured.load_ms, *measured.first_token_ms, *measured.token_ms) > 0
    # A process without torch is much smaller, whatever the machine.
    assert found.other.peak_memory_bytes < found.reference.peak_memory_bytes
    assert found.processor
