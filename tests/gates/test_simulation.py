"""False alarms and detection of the default rule, by the functions that gates use."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

MOST_FALSE_ALARMS = 0.06
DRAWS = 4000
SLOW_DRAWS = 20_000
SIZES = (200, 500, 2000)


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "gates_simulation.py"
    spec = importlib.util.spec_from_file_location("gates_simulation", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("examples", SIZES)
def test_accuracy_detects_as_on_real_predictions(simulation: ModuleType, examples: int) -> None:
    found = [100 * simulation.accuracy_rates(examples, drop).failed for drop in simulation.DROPS]
    assert found[0] <= 100 * MOST_FALSE_ALARMS
    assert found[1:] == pytest.approx(list(simulation.GOAL[examples][1:]), abs=3.0)


@pytest.mark.parametrize("examples", SIZES)
@pytest.mark.parametrize("margin", [0.01, 0.03])
def test_a_drop_of_the_whole_margin_is_rarely_proven_to_be_within_it(
    simulation: ModuleType, examples: int, margin: float
) -> None:
    assert simulation.accuracy_rates(examples, margin, margin=margin).passed <= MOST_FALSE_ALARMS


@pytest.fixture(scope="module", params=["class_pool", "sentence_pool", "document_pool"])
def pool(simulation: ModuleType, request: pytest.FixtureRequest) -> Any:
    return getattr(simulation, request.param)()


@pytest.mark.parametrize("examples", SIZES)
def test_exchanged_answers_raise_few_alarms(simulation: ModuleType, pool: Any, examples: int) -> None:
    rates = simulation.exchange_rates(pool, examples, DRAWS)
    assert rates.failed <= MOST_FALSE_ALARMS
    # Without its margin the test alone is neither blind nor eager: 3.5 standard errors of 4,000 draws.
    assert rates.without_margin == pytest.approx(0.05, abs=0.012)


@pytest.mark.slow
@pytest.mark.parametrize("examples", SIZES)
def test_exchanged_answers_raise_few_alarms_in_many_draws(simulation: ModuleType, pool: Any, examples: int) -> None:
    rates = simulation.exchange_rates(pool, examples, SLOW_DRAWS)
    assert rates.failed <= 0.055
    assert rates.without_margin == pytest.approx(0.05, abs=0.006)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("name", ["real_sentence_pool", "real_document_pool"])
def test_exchanged_real_texts_raise_few_alarms(simulation: ModuleType, real_data: Path, name: str) -> None:
    texts = getattr(simulation, name)(real_data)
    for examples in SIZES:
        assert simulation.exchange_rates(texts, examples, SLOW_DRAWS).failed <= MOST_FALSE_ALARMS
