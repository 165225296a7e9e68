"""How often the shipped suites release an unchanged model: another seed of a recipe, judged by its primary gates.

    python benchmarks/unchanged_release.py [SUITE ...] [--seeds 3] [--draws 2000]

Each recipe is trained with several seeds. A draw takes two of them as baseline and new run, resamples the evaluation
rows, and judges every primary regression check of the suite as the release policy does: it must be proven.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from slmcheck import gates, recipes
from slmcheck.evaluation import Run, open_recipe
from slmcheck.evaluation.claims import Claim, claims_of
from slmcheck.workspace import Workspace

SUITES = Path(__file__).parents[1] / "suites"


def primary_claims(suite: Path) -> list[Claim]:
    """The regression checks of a suite's primary tests, as written in its source."""
    namespace: dict[str, object] = {}
    source = next(suite.glob("test_*.py"))
    sys.path.insert(0, str(suite))
    module = __import__(source.stem)
    namespace.update(vars(module))
    found: list[Claim] = []
    for function in namespace.values():
        marks = getattr(function, "pytestmark", [])
        if callable(function) and any(mark.name == "slm_primary" for mark in marks):
            found += [claim for claim in claims_of(function) if claim.kind == "no_worse"]
    return found


def resampled(score: gates.Score, rows: np.ndarray, *, run_key: str) -> gates.Score:
    """The score of resampled rows; each draw of a row is an example of its own."""
    evidence = score.evidence
    assert evidence is not None
    taken = replace(
        evidence,
        example_ids=tuple(str(place) for place in range(len(rows))),
        statistics=evidence.statistics[rows],
        groups=None,
        reference_hashes=None,
        answers=None,
        show=None,
    )
    source = replace(score.source, run_key=run_key)
    return gates.Score(taken.value, metric=score.metric, source=source, evidence=taken)


def released(new: Sequence[gates.Score], old: Sequence[gates.Score], claims: Sequence[Claim], rows: np.ndarray) -> bool:
    """Whether every claim is proven of one draw."""
    policy = gates.Policy(gate="release", primary=True)
    with gates.judging(policy):
        for claim, one, other in zip(claims, new, old, strict=True):
            left, right = resampled(one, rows, run_key="new"), resampled(other, rows, run_key="old")
            if not left.no_worse_than(right, margin=claim.margin):
                return False
    return True


def simulate(suite: Path, seeds: int, draws: int) -> tuple[float, list[str]]:
    """Share of draws in which the suite releases another seed of its recipe, and what was judged."""
    claims = primary_claims(suite)
    if not claims:
        raise SystemExit(f"{suite.name} has no primary regression check")
    recipe = recipes.load(recipes.find(suite)[0])
    workspace = Workspace.at(SUITES.parent)
    runs: list[Run] = [open_recipe(replace(recipe, seed=recipe.seed + seed), workspace) for seed in range(seeds)]
    scores = [[run.measure(claim.metric) for claim in claims] for run in runs]
    rng = np.random.default_rng(0)
    pairs = list(itertools.permutations(range(seeds), 2))
    count = len(runs[0].examples())
    hits = 0
    for draw in range(draws):
        new, old = pairs[draw % len(pairs)]
        hits += released(scores[new], scores[old], claims, rng.integers(0, count, count))
    told = [
        f"{claim.metric} within {claim.margin}: seeds {', '.join(f'{float(one[place]):.3f}' for one in scores)}"
        for place, claim in enumerate(claims)
    ]
    return hits / draws, told


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", default=sorted(path.name for path in SUITES.iterdir() if path.is_dir()))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    for name in options.suites:
        share, told = simulate(SUITES / name, options.seeds, options.draws)
        print(f"{name}: an unchanged model is released in {100 * share:.1f} % of {options.draws} draws")
        for line in told:
            print(f"    {line}")


if __name__ == "__main__":
    main()
