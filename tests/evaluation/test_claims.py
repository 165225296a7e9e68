"""The claims that test files write out, and what `slmcheck plan` makes of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from slmcheck.evaluation.claims import Claim, claims_beside
from slmcheck.evaluation.library import plan
from slmcheck.metrics import METRICS
from slmcheck.workspace import Workspace

SUITES = Path(__file__).parents[2] / "suites"
METRIC = METRICS["classification"]


def claims_in(folder: Path, source: str, recipe: str = "lora.yaml") -> list[Claim]:
    (folder / "test_it.py").write_text(source)
    return claims_beside(folder / recipe)


def test_the_shipped_release_gate(tmp_path: Path) -> None:
    claims = claims_beside(SUITES / "release_gate" / "lora.yaml")
    changes = [claim for claim in claims if claim.kind == "no_worse"]
    assert [(claim.metric, claim.is_primary) for claim in changes] == [("accuracy", True), ("perplexity", False)]
    assert changes[0].margin == pytest.approx(0.08)
    assert changes[1].margin_of(METRIC["perplexity"].info) == pytest.approx(math.log(1.10))


@pytest.mark.parametrize(
    ("comparison", "metric", "margin"),
    [
        ("run.accuracy >= baseline.accuracy", "accuracy", 0.0),
        ("run.f1 >= baseline.f1 - 0.02", "f1", 0.02),
        ("run.f1.no_worse_than(baseline.f1, margin=0.03)", "f1", 0.03),
        ("run.f1.no_worse_than(baseline.f1)", "f1", None),
        ("run.f1 >= baseline.f1 * 0.9", "f1", None),
        ("run.perplexity <= baseline.perplexity * 1.05", "perplexity", math.log(1.05)),
        ("run.perplexity <= baseline.perplexity + 0.5", "perplexity", None),
        ("run.perplexity.no_worse_than(baseline.perplexity, margin=0.05)", "perplexity", math.log(1.05)),
    ],
)
def test_the_margin_is_on_the_scale_of_changes(
    tmp_path: Path, comparison: str, metric: str, margin: float | None
) -> None:
    [claim] = claims_in(tmp_path, f"def test_it(run, baseline):\n    assert {comparison}\n")
    assert (claim.metric, claim.kind) == (metric, "no_worse")
    found = claim.margin_of(METRIC[metric].info)
    assert found is None if margin is None else found == pytest.approx(margin)


def test_marks_say_for_which_recipe_a_test_is(tmp_path: Path) -> None:
    source = (
        "import pytest\n"
        'pytestmark = [pytest.mark.slow, pytest.mark.slm_run(recipes=["other.yaml"])]\n'
        '@pytest.mark.slm_run("lora.yaml")\n'
        "def test_mine(run):\n    assert run.accuracy >= 0.1\n"
        "def test_theirs(run):\n    assert run.accuracy >= 0.2\n"
        "class TestGroup:\n"
        '    pytestmark = pytest.mark.slm_run(recipes=["lora.yaml", "more.yaml"])\n'
        "    @pytest.mark.slm_primary\n"
        "    def test_grouped(self, run):\n        assert run.accuracy >= 0.3\n"
        "def test_no_run(baseline):\n    assert run.accuracy >= 0.4\n"
    )
    found = [(claim.threshold, claim.is_primary) for claim in claims_in(tmp_path, source)]
    assert found == [(0.1, False), (0.3, True)]
    assert [claim.threshold for claim in claims_in(tmp_path, source, "other.yaml")] == [0.2]


def test_a_test_file_that_python_cannot_read_claims_nothing(tmp_path: Path) -> None:
    assert claims_in(tmp_path, "def test_it(run:\n") == []


def test_plan_takes_the_margins_of_the_suite(tmp_path: Path) -> None:
    recipe, workspace = SUITES / "release_gate" / "lora.yaml", Workspace.at(tmp_path)
    [written] = plan(recipe, workspace=workspace)
    [asked] = plan(recipe, margin=0.02, workspace=workspace)
    assert [(check.metric.name, check.margin) for check in written.checks] == [("accuracy", 0.08)]
    assert [(check.metric.name, check.margin) for check in asked.checks] == [("accuracy", 0.02)]
    assert written.checks[0].release_probability > 0.9 > asked.checks[0].release_probability
