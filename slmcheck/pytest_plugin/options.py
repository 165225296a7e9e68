"""Options, ini values and marks of the plugin, all with one prefix, and the settings they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pytest

Gate = Literal["dev", "release"]

MARKS = (
    "slm_run(recipes): recipe files, relative to the test file, whose runs the tests of this module judge",
    "slm_primary: comparisons of this test must be proven under --slm-gate=release",
    "slm_quarantine(until, owner): a flaky gate reports without blocking until that day, and fails after it",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the options and ini values of a session say."""

    gate: Gate
    alpha: float
    inconclusive: Literal["pass", "fail"]
    seed_sds: Mapping[str, float]
    offline: bool
    retrain: bool
    same_environment: bool
    device: Literal["cpu", "cuda", "mps"] | None
    batch_invariant: bool
    seeds: int | None
    report: Path | None
    accept_baseline: bool
    underpowered: bool
    asked_for: bool
    """Whether any option or ini value of the plugin was given."""


SETTINGS = pytest.StashKey[Settings]()

_INI: tuple[tuple[str, str, Literal["string", "args"]], ...] = (
    ("slm_gate", "dev or release", "string"),
    ("slm_alpha", "one-sided level of a regression check, 0.001 to 0.2", "string"),
    ("slm_inconclusive", "pass or fail: what an inconclusive comparison is in dev", "string"),
    ("slm_seed_sd", "standard deviation between seeds by metric: accuracy=0.006", "args"),
)
_INI_DEFAULTS: Mapping[str, object] = {
    "slm_gate": "dev",
    "slm_alpha": "0.05",
    "slm_inconclusive": "pass",
    "slm_seed_sd": [],
}


def add_options(parser: pytest.Parser) -> None:
    """Declare every `--slm-*` option and `slm_*` ini value."""
    group = parser.getgroup("slmcheck", "slmcheck: fine-tuned language models")
    group.addoption(
        "--slm-gate",
        choices=("dev", "release"),
        default=None,
        help="dev (default): red on evidence; release: comparisons of tests marked slm_primary must be proven",
    )
    group.addoption(
        "--slm-offline", action="store_true", help="never train or predict: a miss in the store is an error"
    )
    group.addoption("--slm-retrain", action="store_true", help="train every run again although the store has it")
    group.addoption(
        "--slm-environment",
        choices=("any", "same"),
        default="any",
        help="same: runs made under another device or library version do not count",
    )
    group.addoption("--slm-device", choices=("cpu", "cuda", "mps"), help="device class (default: detected)")
    group.addoption(
        "--slm-batch-invariant", action="store_true", help="results bitwise independent of the batch, at some cost"
    )
    group.addoption("--slm-seeds", type=int, metavar="N", help="train N seeds behind every run")
    group.addoption("--slm-report", metavar="DIR", help="write the report in every format to this folder")
    group.addoption(
        "--slm-accept-baseline",
        action="store_true",
        help="comparisons with a missing baseline count as accepted; baselines are written at the end",
    )
    group.addoption(
        "--slm-underpowered", action="store_true", help="judge a release although its suites can hardly prove anything"
    )
    for name, text, kind in _INI:
        parser.addini(name, text, type=kind, default=_INI_DEFAULTS[name])


def read_settings(config: pytest.Config) -> Settings:
    """The validated settings of a session.

    Raises:
        pytest.UsageError: If a value is out of range; names all of them.
    """
    problems: list[str] = []
    gate = _choice(config, "slm_gate", ("dev", "release"), problems)
    inconclusive = _choice(config, "slm_inconclusive", ("pass", "fail"), problems)
    alpha = _number(config, "slm_alpha", 0.001, 0.2, problems)
    seed_sds = _seed_sds(config, problems)
    seeds = config.getoption("--slm-seeds")
    if seeds is not None and seeds < 1:
        problems.append(f"--slm-seeds is {seeds}; expected 1 or more.")
    if config.getoption("--slm-offline") and config.getoption("--slm-retrain"):
        problems.append("--slm-offline forbids the training that --slm-retrain asks for: give one of them.")
    if problems:
        raise pytest.UsageError("\n".join(problems))
    report = config.getoption("--slm-report")
    return Settings(
        gate=cast("Gate", config.getoption("--slm-gate") or gate),
        alpha=alpha,
        inconclusive=cast("Literal['pass', 'fail']", inconclusive),
        seed_sds=seed_sds,
        offline=bool(config.getoption("--slm-offline")),
        retrain=bool(config.getoption("--slm-retrain")),
        same_environment=config.getoption("--slm-environment") == "same",
        device=config.getoption("--slm-device"),
        batch_invariant=bool(config.getoption("--slm-batch-invariant")),
        seeds=seeds,
        report=Path(report) if report else None,
        accept_baseline=bool(config.getoption("--slm-accept-baseline")),
        underpowered=bool(config.getoption("--slm-underpowered")),
        asked_for=_asked_for(config),
    )


def _seed_sds(config: pytest.Config, problems: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in config.getini("slm_seed_sd"):
        name, equals, text = str(item).partition("=")
        try:
            found[name] = float(text)
        except ValueError:
            equals = ""
        if not equals or not name or not 0.0 <= found.get(name, 0.0) < 1e3:
            problems.append(f"ini value slm_seed_sd has '{item}'; expected metric=number, as in accuracy=0.006.")
    return found


def _asked_for(config: pytest.Config) -> bool:
    given = [str(argument) for argument in config.invocation_params.args]
    return any(argument.startswith("--slm-") for argument in given) or any(
        config.getini(name) != default for name, default in _INI_DEFAULTS.items()
    )


def _choice(config: pytest.Config, name: str, allowed: tuple[str, ...], problems: list[str]) -> str:
    value = str(config.getini(name)).strip()
    if value not in allowed:
        problems.append(f"ini value {name} is '{value}'; expected {' or '.join(allowed)}.")
    return value


def _number(config: pytest.Config, name: str, low: float, high: float, problems: list[str]) -> float:
    text = str(config.getini(name)).strip()
    try:
        value = float(text)
    except ValueError:
        problems.append(f"ini value {name} is '{text}'; expected a number from {low:g} to {high:g}.")
        return low
    if not low <= value <= high:
        problems.append(f"ini value {name} is {text}; expected {low:g} to {high:g}.")
    return value
