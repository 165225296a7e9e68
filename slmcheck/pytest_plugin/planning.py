"""What the suites of a session can see and prove, told before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from slmcheck import gates
from slmcheck.data import load_splits
from slmcheck.errors import SlmcheckError
from slmcheck.evaluation.claims import Claim, claims_of
from slmcheck.evaluation.planning import plan_claim
from slmcheck.gates.planning import LEAST_RELEASE_PROBABILITY
from slmcheck.metrics import METRICS
from slmcheck.pytest_plugin.collection import recipe_at
from slmcheck.pytest_plugin.exemptions import check_exemptions
from slmcheck.pytest_plugin.options import SETTINGS
from slmcheck.pytest_plugin.session import session_id, workspace_of
from slmcheck.records import Recipe
from slmcheck.storage import digest

_REFUSED = pytest.StashKey[str]()
_PLANNED = pytest.StashKey["dict[Path, Planned]"]()


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The regression checks of one recipe."""

    recipe: Recipe
    plans: tuple[gates.Plan, ...]
    primary: tuple[gates.Plan, ...]

    @property
    def line(self) -> str:
        """What the checks of the recipe can see; empty where none is planned."""
        if not self.plans:
            return ""
        return f"{self.recipe.name}: {'; '.join(dict.fromkeys(plan.sentence for plan in self.plans))}"


def check_session(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Refuse a release that has nothing to prove, or that even an unchanged model would hardly pass.

    An xdist worker cannot end the session: there the first test fails with the message, and the others skip.

    Raises:
        pytest.UsageError: With the candidates, or with the margin that the suite can prove.
    """
    try:
        _check(config, items)
    except pytest.UsageError as error:
        if not hasattr(config, "workerinput"):
            raise
        config.stash[_REFUSED] = str(error)


def refuse(item: pytest.Item) -> None:
    """Let a test fail or skip where the session was refused."""
    message = item.config.stash.get(_REFUSED, None)
    if message is not None:
        store, name = workspace_of(item.config).store, session_id(item.config)
        if store.claim_failure(name, digest("failure", "release refused"), message):
            pytest.fail(message, pytrace=False)
        pytest.skip("the release was refused; another test of this session shows why")


def _check(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    check_exemptions(config, items)
    planned = _plan(config, items)
    settings = config.stash[SETTINGS]
    if settings.gate != "release":
        return
    if not any(item.get_closest_marker("slm_primary") for item in items):
        names = [item.nodeid for item in items[:8]]
        raise pytest.UsageError(
            "--slm-gate=release, but no collected test is marked slm_primary: nothing would have to be proven.\n"
            "Mark the tests that decide the release with @pytest.mark.slm_primary, five at most. Candidates:\n  "
            + "\n  ".join(names)
        )
    for found in planned.values():
        chance = gates.plan_release(found.primary) if found.primary else 1.0
        if chance < LEAST_RELEASE_PROBABILITY and not settings.underpowered:
            advice = "\n".join(f"  {plan.advice}" for plan in found.primary if plan.advice)
            raise pytest.UsageError(
                f"An unchanged model would be released with probability {100 * chance:.0f} % by the primary gates of "
                f"{found.recipe.name}; nothing was trained.\n{advice}\n"
                "Widen the margins, add rows or seeds, or judge all the same: --slm-underpowered"
            )


def plan_lines(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """One line a recipe: the smallest drop that its regression checks can see."""
    return [f"slmcheck: {found.line}" for found in _plan(config, items).values() if found.line]


def planned_line(config: pytest.Config, path: Path) -> str:
    """The plan line of one recipe of the session."""
    found = config.stash.get(_PLANNED, {}).get(path)
    return found.line if found is not None else ""


def _plan(config: pytest.Config, items: Sequence[pytest.Item]) -> dict[Path, Planned]:
    if _PLANNED not in config.stash:
        claims: dict[Path, list[tuple[Claim, bool]]] = {}
        for item in items:
            path = _recipe_path(item)
            if path is not None:
                is_primary = item.get_closest_marker("slm_primary") is not None
                function = getattr(item, "function", None)
                found = claims_of(function) if function is not None else []
                claims.setdefault(path, []).extend((claim, is_primary) for claim in found)
        config.stash[_PLANNED] = {path: _planned(config, path, found) for path, found in claims.items()}
    return config.stash[_PLANNED]


def _recipe_path(item: pytest.Item) -> Path | None:
    callspec = getattr(item, "callspec", None)
    path = callspec.params.get("_slm_outcome") if callspec is not None else None
    return path if isinstance(path, Path) else None


def _planned(config: pytest.Config, path: Path, claims: Sequence[tuple[Claim, bool]]) -> Planned:
    recipe = recipe_at(config, path)
    checks = [
        (claim, primary)
        for claim, primary in claims
        if claim.kind == "no_worse" and claim.metric in METRICS[recipe.task]
    ]
    rows = _rows(recipe) if checks else 0
    settings = config.stash[SETTINGS]
    plans, primaries = [], []
    for claim, is_primary in checks if rows else []:
        found = plan_claim(
            recipe,
            claim,
            rows,
            seeds=settings.seeds or recipe.seeds,
            seed_sd=settings.seed_sds.get(claim.metric),
            alpha=settings.alpha,
        )
        if found is not None:
            plans.append(found)
            primaries += [found] if is_primary else []
    return Planned(recipe=recipe, plans=tuple(plans), primary=tuple(primaries))


def _rows(recipe: Recipe) -> int:
    """Rows of the evaluation split; 0 where the data cannot be read, which the run itself will tell."""
    try:
        splits = load_splits(recipe)
    except SlmcheckError:
        return 0
    return len(splits.of(splits.evaluation_split(recipe)))
