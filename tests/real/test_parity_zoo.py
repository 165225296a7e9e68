"""Faults in the export of a model that was fine-tuned on real messages are found, and the module is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.zoo_measured import Bench
from tests.real.conftest import OpenRun

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def bench(open_real: OpenRun, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    run = open_real("sms_spam/full")
    scratch: Path = tmp_path_factory.mktemp("zoo")
    return Bench(run.checkpoint, run.onnx("fp32").folder, run.examples()[:12], run.recipe, scratch)


def test_the_right_export_passes_and_agrees_everywhere(bench: Bench) -> None:
    clean = bench.clean()
    assert clean.found_by == ()
    assert clean.location.outcome == "agrees"


def test_every_fault_is_found_and_every_local_one_named_in_all_five_layers(bench: Bench) -> None:
    found = list(bench.planted([0, 1, 2, 3, 4]))
    assert [(one.fault, one.expected) for one in found if not one.found_by] == []
    assert [(one.fault, one.expected, one.location.sentence) for one in found if not one.is_named] == []
    assert sum(one.expected is not None for one in found) == 75
