"""What an export costs beside the model it was made of: bytes, time to load, latency, memory.

Both are asked the same prompts in turn in one process, so that a busy machine slows both. Memory is the peak of a
process of its own for each.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from slmcheck.backends import LanguageModel, load
from slmcheck.backends.environment import processor_name
from slmcheck.errors import PredictionError, UnknownMetricError
from slmcheck.gates import MetricInfo, Score, ScoreSource
from slmcheck.records import Checkpoint, from_json, to_json
from slmcheck.statistics import t_quantile

CACHE_VERSION = 1
"""Changes when the same models would be measured otherwise."""
ROUNDS, STEPS, LOADS = 10, 8, 3
"""Prompts that both read in turn, tokens that they write after each, and how often each is loaded."""
KIB = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit in which the system tells the peak of a process."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Times of one model in milliseconds, in the order in which they were taken."""

    load_ms: tuple[float, ...]
    first_token_ms: tuple[float, ...]
    """From a prompt to the logits of its first token, one a round."""
    token_ms: tuple[float, ...]
    """Each further token."""
    peak_memory_bytes: int
    """Peak resident size of a process that loads the model and writes one text."""
    size_bytes: int
    """Of weights and graph on disk."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """An export and its model, measured side by side."""

    reference: Measured
    other: Measured
    processor: str
    versions: Mapping[str, str]
    """Of the libraries that ran them."""
    threads: int = 1
    prompt_tokens: int = 0
    """Tokens of the median prompt."""

    @property
    def place(self) -> str:
        """Where it was measured; part of every signature, because other machines have other times."""
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(self.versions.items()))
        return f"{self.processor}, {self.threads} thread, {libraries}"


@dataclass(frozen=True, kw_only=True)
class CostMetric:
    """One number of a measurement."""

    info: MetricInfo
    of: Callable[[Costs], tuple[float, tuple[float, float] | None, int]]
    """Value, 95 % interval where it was sampled, and how many measurements there were."""


def measure_costs(
    reference: Checkpoint,
    exported: Checkpoint,
    prompts: Sequence[Sequence[int]],
    *,
    load_reference: Callable[[], LanguageModel],
    size_bytes: int,
    reference_bytes: int,
) -> Costs:
    """Load both, let them read prompts and write on in turn, and take the times.

    Args:
        reference: The checkpoint that the export was made of.
        exported: The export.
        prompts: Token ids; at least one prompt.
        load_reference: Loads the reference as it is compared: an adapter merged.
        size_bytes: Of the export.
        reference_bytes: Of the reference's weights.

    Raises:
        PredictionError: If there is no prompt, or a process that measures memory ends without a number.
    """
    if not prompts:
        raise PredictionError("Costs are measured on prompts, and there are none.\nGive an evaluation split with rows.")
    loaders: tuple[Callable[[], LanguageModel], ...] = (load_reference, lambda: load(exported))
    models: list[LanguageModel] = []
    loads: tuple[list[float], list[float]] = ([], [])
    for _ in range(LOADS):
        models = []
        for place, loader in enumerate(loaders):
            started = time.perf_counter()
            models.append(loader())
            loads[place].append(1000.0 * (time.perf_counter() - started))
    firsts: tuple[list[float], list[float]] = ([], [])
    tokens: tuple[list[float], list[float]] = ([], [])
    for number in range(-1, ROUNDS):  # the first round warms up
        prompt = list(prompts[number % len(prompts)])
        for place in (0, 1) if number % 2 else (1, 0):
            first, further = _timed(models[place], prompt)
            if number >= 0:
                firsts[place].append(first)
                tokens[place].extend(further)
    sizes = (reference_bytes, size_bytes)
    peaks = [peak_memory(checkpoint, list(prompts[0])) for checkpoint in (reference, exported)]
    both = [
        Measured(
            load_ms=tuple(loads[place]),
            first_token_ms=tuple(firsts[place]),
            token_ms=tuple(tokens[place]),
            peak_memory_bytes=peaks[place],
            size_bytes=sizes[place],
        )
        for place in (0, 1)
    ]
    versions = {**models[0].environment.versions, **models[1].environment.versions}
    lengths = sorted(len(prompt) for prompt in prompts)
    return Costs(
        reference=both[0],
        other=both[1],
        processor=processor_name(),
        versions=versions,
        prompt_tokens=lengths[len(lengths) // 2],
    )


def _timed(model: LanguageModel, prompt: Sequence[int], steps: int = STEPS) -> tuple[float, list[float]]:
    """Milliseconds to the first token of a prompt, and of each further one."""
    if model.context_tokens is not None:
        prompt = prompt[: max(1, model.context_tokens - steps)]
    decoder = model.decoder(rows=1, length=len(prompt) + steps)
    started = time.perf_counter()
    logits = decoder.add([prompt])
    first = 1000.0 * (time.perf_counter() - started)
    further = []
    for _ in range(steps):
        chosen = logits.argmax(axis=1)
        started = time.perf_counter()
        logits = decoder.step(chosen)
        further.append(1000.0 * (time.perf_counter() - started))
    return first, further


def peak_memory(checkpoint: Checkpoint, prompt: Sequence[int]) -> int:
    """Peak resident bytes of a process that loads a checkpoint and writes one text.

    Raises:
        PredictionError: If that process fails.
    """
    request = json.dumps({"checkpoint": to_json(checkpoint), "prompt": list(prompt)})
    done = subprocess.run(
        [sys.executable, "-m", "slmcheck.parity.costs"], input=request, capture_output=True, text=True, check=False
    )
    try:
        return int(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise PredictionError(
            f"The memory of {checkpoint.path} could not be measured: {said[0]}\n"
            f"Asked in a process of its own, precision {checkpoint.precision}."
        ) from error


def _peak_of_this_process() -> None:
    """What the child does: load, write, tell."""
    request = json.loads(sys.stdin.read())
    _timed(load(from_json(Checkpoint, request["checkpoint"])), request["prompt"])
    sys.stdout.write(f"{_own_peak()}\n")


def _own_peak() -> int:
    """Peak resident bytes of this program alone: getrusage on Linux counts the parent that it was forked from."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def cost(name: str, costs: Costs, source: ScoreSource) -> Score:
    """One number of a measurement as a score.

    Raises:
        UnknownMetricError: If there is no such number.
    """
    if name not in COSTS:
        raise UnknownMetricError(f"'{name}' is no cost of an export.\nThere are: {', '.join(COSTS)}.")
    metric = COSTS[name]
    value, interval, count = metric.of(costs)
    info = metric.info if metric.info.exact else replace(metric.info, signature=f"{name}|{costs.place}|version:1")
    placed = replace(source, notes=(*source.notes, f"measured on {costs.place}"))
    return Score(value, metric=info, source=placed, interval=interval, n=count)


def _median(times: Sequence[float]) -> tuple[float, tuple[float, float], int]:
    """The median with the interval between two order statistics (sign test, 95 %)."""
    ordered, count = sorted(times), len(times)
    reach = 1.96 * math.sqrt(count) / 2
    low, high = max(0, math.floor((count - 1) / 2 - reach)), min(count - 1, math.ceil((count - 1) / 2 + reach))
    return float(np.median(ordered)), (ordered[low], ordered[high]), count


def _p95(times: Sequence[float]) -> tuple[float, None, int]:
    return float(np.quantile(times, 0.95)), None, len(times)


def _speedup(reference: Sequence[float], other: Sequence[float]) -> tuple[float, tuple[float, float], int]:
    """How many times faster: geometric mean of the ratios of paired times, with its t interval."""
    logs = np.log(np.asarray(reference)) - np.log(np.asarray(other))
    mean, reach = float(logs.mean()), 0.0
    if len(logs) > 1:
        reach = t_quantile(0.975, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return math.exp(mean), (math.exp(mean - reach), math.exp(mean + reach)), len(logs)


def _by_round(times: Sequence[float]) -> list[float]:
    """The median of each round: its steps follow each other and are no independent measurements."""
    return [float(np.median(times[start : start + STEPS])) for start in range(0, len(times), STEPS)]


def _milliseconds(name: str) -> MetricInfo:
    return MetricInfo(
        name=name, higher_is_better=False, unit="milliseconds", margin=0.1, margin_kind="relative", interval="none",
        paired="none",
    )  # fmt: skip


def _bytes(name: str, *, exact: bool) -> MetricInfo:
    return MetricInfo(
        name=name, higher_is_better=False, unit="bytes", margin=0.02, margin_kind="relative", interval="none",
        paired="none", exact=exact, signature=f"{name}|version:1",
    )  # fmt: skip


def _ratio(name: str, *, exact: bool = False, higher_is_better: bool = True) -> MetricInfo:
    return MetricInfo(
        name=name, higher_is_better=higher_is_better, unit="ratio", margin=0.1, margin_kind="relative",
        interval="none", paired="none", exact=exact, signature=f"{name}|version:1",
    )  # fmt: skip


COSTS: Mapping[str, CostMetric] = {
    "size_bytes": CostMetric(
        info=_bytes("size_bytes", exact=True), of=lambda costs: (float(costs.other.size_bytes), None, 1)
    ),
    "size_ratio": CostMetric(
        info=_ratio("size_ratio", exact=True, higher_is_better=False),
        of=lambda costs: (costs.other.size_bytes / costs.reference.size_bytes, None, 1),
    ),
    "load_ms": CostMetric(info=_milliseconds("load_ms"), of=lambda costs: _median(costs.other.load_ms)),
    "first_token_ms": CostMetric(
        info=_milliseconds("first_token_ms"), of=lambda costs: _median(costs.other.first_token_ms)
    ),
    "first_token_p95_ms": CostMetric(
        info=_milliseconds("first_token_p95_ms"), of=lambda costs: _p95(costs.other.first_token_ms)
    ),
    "latency_ms": CostMetric(info=_milliseconds("latency_ms"), of=lambda costs: _median(costs.other.token_ms)),
    "latency_p95_ms": CostMetric(info=_milliseconds("latency_p95_ms"), of=lambda costs: _p95(costs.other.token_ms)),
    "speedup": CostMetric(
        info=_ratio("speedup"),
        of=lambda costs: _speedup(_by_round(costs.reference.token_ms), _by_round(costs.other.token_ms)),
    ),
    "first_token_speedup": CostMetric(
        info=_ratio("first_token_speedup"),
        of=lambda costs: _speedup(costs.reference.first_token_ms, costs.other.first_token_ms),
    ),
    "peak_memory_bytes": CostMetric(
        info=_bytes("peak_memory_bytes", exact=False), of=lambda costs: (float(costs.other.peak_memory_bytes), None, 1)
    ),
}
"""Costs of an export.

    size_bytes           graph and weights on disk; the same everywhere
    size_ratio           its share of the bytes of the trained model's weights; the same everywhere
    load_ms              median time to load and check it
    first_token_ms       median time from a prompt of the suite to its first token
    first_token_p95_ms   its 95th percentile
    latency_ms           median time of each further token
    latency_p95_ms       its 95th percentile
    speedup              how many times faster than PyTorch further tokens are written, both measured in turn
    first_token_speedup  the same of the first token
    peak_memory_bytes    peak of a process that loads it and writes one text, libraries included
"""


def weights_bytes(folder: Path) -> int:
    """Bytes of the weight files of a model folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


if __name__ == "__main__":
    _peak_of_this_process()
